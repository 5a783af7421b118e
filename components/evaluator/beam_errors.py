"""Unwraps the errors of an evaluation, which Beam and TFMA wrap in their own."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from prodml.errors import InputDataError, NodeError

_AT_BEAM_STEP = re.compile(r" \[while running '[^']*'\]$")
_METRIC_FAILED = "add_input failed on"
"""Start of TFMA's message. The rows follow it, which must not appear in prodml's message."""


@contextlib.contextmanager
def unwrapped_errors() -> Iterator[None]:
    """Re-raises the errors of a Beam pipeline's steps without Beam's wrapping.

    Raises:
        NodeError: a step rejected the data or a model.
        InputDataError: a metric that TFMA computes row by row failed.
    """
    try:
        yield
    except NodeError as error:
        raise type(error)(_AT_BEAM_STEP.sub("", str(error))) from error
    except Exception as error:
        causes = list(_causes(error))
        if not any(str(cause).startswith(_METRIC_FAILED) for cause in causes):
            raise
        first = _AT_BEAM_STEP.sub("", first_line(causes[-1]))
        raise InputDataError(
            f"a metric of eval_config failed on a row: {type(causes[-1]).__name__}: {first}; check "
            f"that the metric supports these labels, predictions and weights"
        ) from error


def first_line(error: BaseException) -> str:
    """The first line of an error's message; TFMA appends the values that caused the error."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and its chain of causes and contexts, the innermost last."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        yield current
        current = current.__cause__ or current.__context__
