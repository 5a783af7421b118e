"""Lineage: the only place that imports ml_metadata."""
