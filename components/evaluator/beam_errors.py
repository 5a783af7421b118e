"""Errors of an evaluation as Beam and TFMA wrap them, without the wrapping."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from prodml.errors import InputDataError, NodeError

_AT_BEAM_STEP = re.compile(r" \[while running '[^']*'\]$")
_OF_A_METRIC = "add_input failed on"
"""TFMA goes on with the rows themselves, which do not belong in a message."""


@contextlib.contextmanager
def unwrapped_errors() -> Iterator[None]:
    """Raises what a step of a Beam pipeline raised, as it was raised.

    Raises:
        NodeError: a step refused the data or a model.
        InputDataError: a metric that TFMA computes row by row failed.
    """
    try:
        yield
    except NodeError as error:
        raise type(error)(_AT_BEAM_STEP.sub("", str(error))) from error
    except Exception as error:
        causes = list(_causes(error))
        if not any(str(cause).startswith(_OF_A_METRIC) for cause in causes):
            raise
        first = _AT_BEAM_STEP.sub("", first_line(causes[-1]))
        raise InputDataError(
            f"a metric of eval_config failed on a row: {type(causes[-1]).__name__}: {first}; see "
            f"that it is for such labels, predictions and weights"
        ) from error


def first_line(error: BaseException) -> str:
    """The first line of a message: TFMA appends the values that it failed on."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, the innermost last."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        yield current
        current = current.__cause__ or current.__context__
