"""Lets TensorFlow Transform 1.16 copy parts of a graph of Beam 2.72."""

from __future__ import annotations

from apache_beam.pipeline import AppliedPTransform


def allow_deep_copies() -> None:
    """Makes the arguments that Beam added to its graph nodes since Transform 1.16 optional.

    Transform reads the data anew for every phase by copying the nodes that read it, and leaves
    those two arguments out. Without the copies the phases share one read, and with three that
    build on one another the local runner never ends some of its bundles and fails.
    """
    AppliedPTransform.__init__.__defaults__ = (None, None)
