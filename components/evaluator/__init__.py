"""Evaluator: how good a model is, and whether it may be pushed."""
