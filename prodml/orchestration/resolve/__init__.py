"""What is known of a node before it runs: inputs, conditions, fingerprint, cache; and the plan."""
