"""Options of the REST front end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RestOptions:
    """How REST requests are answered.

    Attributes:
        timeout_seconds: time limit for a request and its body, and again for sending its answer;
            None for no limit.
        max_body_bytes: maximum size of a decompressed body.
        drain_seconds: time limit for requests in progress when the server stops.
        metrics_path: path of the metrics; None if they are not served.
        enable_cors: whether browsers may send requests from other origins.
        idle_seconds: how long a connection may be open without a complete request head.
    """

    timeout_seconds: float | None
    max_body_bytes: int
    drain_seconds: float
    metrics_path: str | None
    enable_cors: bool
    idle_seconds: float = 60.0
