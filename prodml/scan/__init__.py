"""Finds operations in models that touch files, the network or Python."""
