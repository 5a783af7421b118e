"""Trainer: trains a model with a user's run_fn."""
