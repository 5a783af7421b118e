"""Finds versions of models on disk, loads them, warms them up and unloads them."""
