"""What people decide about models, as ML Metadata records it: baselines and rollouts."""
