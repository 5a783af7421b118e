"""Cleans up after runs whose process died, and reads the history of runs that are resumed."""
