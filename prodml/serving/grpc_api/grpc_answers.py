"""What every method of the gRPC services does with its message and its answer."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message

from prodml.errors import ServingError
from prodml.serving.values.error_texts import shortened

Context: TypeAlias = Any
"""A `grpc.aio.ServicerContext`."""

SMALL_MESSAGE = 1 << 16
"""Bytes of a message that takes less time to read than to hand it to a thread and back."""

log = logging.getLogger(__name__)


async def answered(answer: Callable[[], Awaitable[bytes]], context: Context) -> tuple[bytes, str]:
    """The answer and the name of its status, which the context is told where it is an error."""
    try:
        return await answer(), "OK"
    except ServingError as error:
        code, text = error.code, str(error)
    except DecodeError as error:
        code, text = "INVALID_ARGUMENT", f"the message cannot be parsed: {error}"
    except Exception:
        # Whatever a request may bring about, its client is told no more than this.
        log.exception("a request failed unexpectedly")
        code, text = "INTERNAL", "internal error"
    context.set_code(_CODES[code])
    context.set_details(shortened(text))
    return b"", code


def is_worth_logging(record: logging.LogRecord) -> bool:
    """A filter for gRPC's log: a message that does not parse, or a client that leaves before its
    answer was sent, would write a traceback each time."""
    kind = record.exc_info[0] if record.exc_info else None
    # gRPC has no public name for the second.
    return kind is None or not (
        issubclass(kind, DecodeError) or kind.__name__ == "ExecuteBatchError"
    )


def check_small(message: bytes, limit: int = SMALL_MESSAGE) -> None:
    """Checks the size of a message that is read on the event loop: to read a large one would take
    time from other requests.

    Raises:
        ServingError: it is larger than any that asks something.
    """
    if len(message) > limit:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"the message has {len(message)} bytes; this method reads at most {limit}",
        )


def serialized(message: Message) -> bytes:
    """The bytes of a message."""
    found: bytes = message.SerializeToString()
    return found


_CODES = {code.name: code for code in grpc.StatusCode}
