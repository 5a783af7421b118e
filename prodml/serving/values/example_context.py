"""The context that all tf.Examples of a request share."""

from __future__ import annotations

from collections.abc import Sequence

from prodml.errors import ServingError

_LARGEST = 64 << 20
"""Bytes of all examples' contexts: a small request can name a context and countless examples."""


def with_context(context: bytes, examples: Sequence[bytes]) -> list[bytes]:
    """The examples, each with the context.

    Args:
        context: a serialized tf.Example.
        examples: serialized.

    Raises:
        ServingError: INVALID_ARGUMENT, the context would be repeated too often.
    """
    size = len(context) * len(examples)
    if size > _LARGEST:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"the context of {len(context)} bytes, for each of {len(examples)} examples, makes "
            f"{size} bytes; at most {_LARGEST} are supported, so send fewer examples at once",
        )
    # Serialized messages one behind the other are the merged message.
    return [context + example for example in examples]
