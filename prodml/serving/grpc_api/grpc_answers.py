"""Status codes, errors and size limits that all methods of the gRPC services share."""

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
"""Bytes up to which reading a message takes less time than passing it to a thread and back."""

log = logging.getLogger(__name__)


async def respond(answer: Callable[[], Awaitable[bytes]], context: Context) -> tuple[bytes, str]:
    """Awaits an answer and returns it with the name of its status. Sets an error on the context."""
    try:
        return await answer(), "OK"
    except ServingError as error:
        code, text = error.code, str(error)
    except DecodeError as error:
        code, text = "INVALID_ARGUMENT", f"the message cannot be parsed: {error}"
    except Exception:
        # Details of unexpected errors are logged, but not sent to the client.
        log.exception("a request failed unexpectedly")
        code, text = "INTERNAL", "internal error"
    context.set_code(_CODES[code])
    context.set_details(shortened(text))
    return b"", code


def is_worth_logging(record: logging.LogRecord) -> bool:
    """Filters gRPC's log: drops the tracebacks of messages that do not parse and of clients that
    disconnect before their answer is sent."""
    kind = record.exc_info[0] if record.exc_info else None
    # gRPC exports no name for ExecuteBatchError.
    return kind is None or not (
        issubclass(kind, DecodeError) or kind.__name__ == "ExecuteBatchError"
    )


def check_small(message: bytes, limit: int = SMALL_MESSAGE) -> None:
    """Checks the size of a message that is read on the event loop, where a large message would
    block other requests.

    Raises:
        ServingError: the message is larger than any sensible request.
    """
    if len(message) > limit:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"the message has {len(message)} bytes; this method reads at most {limit}",
        )


def serialized(message: Message) -> bytes:
    """Serializes a message."""
    found: bytes = message.SerializeToString()
    return found


_CODES = {code.name: code for code in grpc.StatusCode}
