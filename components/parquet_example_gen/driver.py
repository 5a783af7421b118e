"""Driver of ParquetExampleGen."""

from prodml.components.example_gen.source import resolve

__all__ = ["resolve"]
