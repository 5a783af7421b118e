"""Publishes the outputs of a node atomically, and detects later changes to them."""
