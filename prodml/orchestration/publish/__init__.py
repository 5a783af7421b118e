"""Puts what a node made in its place, whole, and knows it again."""
