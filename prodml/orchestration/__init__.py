"""Runs a compiled pipeline: resolves, launches, publishes and records its nodes."""
