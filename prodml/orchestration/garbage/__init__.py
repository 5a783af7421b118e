"""Garbage collection: removes artifacts that no run, resolver or server can need any more."""
