"""The canonical status codes that gRPC, TensorFlow and TF Serving share, by name and number."""

from __future__ import annotations

_NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)


def code_number(name: str) -> int:
    """Returns the number of a code, such as 5 for NOT_FOUND."""
    return _NAMES.index(name)


def code_name(number: int) -> str:
    """Returns the name of a code; UNKNOWN for an undefined number."""
    return _NAMES[number] if 0 <= number < len(_NAMES) else "UNKNOWN"
