"""Removes artifacts that nobody can ask for any more."""
