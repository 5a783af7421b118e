"""Evaluator: evaluates a model and decides whether it may be pushed."""
