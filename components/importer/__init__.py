"""Brings what others made into the store."""
