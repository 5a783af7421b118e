"""Reads and writes examples on disk."""
