"""What a node may take of time and memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NodeLimits:
    """Limits of one node; where there are any, it runs in a process of its own.

    Attributes:
        timeout_seconds: wall time of an attempt.
        memory_bytes: resident memory of the node's process and its children.
    """

    timeout_seconds: float | None = None
    memory_bytes: int | None = None
