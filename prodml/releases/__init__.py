"""Decisions of people about models, recorded in ML Metadata: baselines and rollouts."""
