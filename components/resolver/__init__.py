"""Finds artifacts of earlier runs."""
