"""Trainer: a user's run_fn makes a model."""
