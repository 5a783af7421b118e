"""Driver of ImportExampleGen."""

from prodml.components.example_gen.source import resolve

__all__ = ["resolve"]
