"""Resolves a node before it runs: inputs, conditions, fingerprint and cache; and makes plans."""
