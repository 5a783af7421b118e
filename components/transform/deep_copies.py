"""Makes TensorFlow Transform 1.16 able to copy parts of a Beam 2.72 graph."""

from __future__ import annotations

from apache_beam.pipeline import AppliedPTransform


def allow_deep_copies() -> None:
    """Makes two arguments optional that Beam added to its graph nodes after Transform 1.16.

    Transform copies the nodes that read the data, so that each phase reads it separately, and does
    not pass these arguments. Without the copies, the phases share one read; with three dependent
    phases, the local runner then never finishes some of its bundles and fails.
    """
    AppliedPTransform.__init__.__defaults__ = (None, None)
