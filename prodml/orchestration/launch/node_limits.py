"""Limits of time and memory for a node."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NodeLimits:
    """Limits of one node; a node with limits runs in a separate process.

    Attributes:
        timeout_seconds: wall time of an attempt.
        memory_bytes: resident memory of the node's process and its children.
    """

    timeout_seconds: float | None = None
    memory_bytes: int | None = None
