"""Starts and resumes runs: cleans up after processes that died, and reads the history of a run."""
