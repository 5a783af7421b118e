"""Runs nodes: when, in which process, within which limits, and how often."""
