"""Retraining: decides from records whether a pipeline is due, and when it is checked."""
