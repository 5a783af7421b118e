"""Finds the files of the wanted spans."""

from prodml.components.example_gen.source import resolve

__all__ = ["resolve"]
