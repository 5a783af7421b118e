"""Merges the context that all tf.Examples of a request share into each example."""

from __future__ import annotations

from collections.abc import Sequence

from prodml.errors import ServingError

_LARGEST = 64 << 20
"""Maximum bytes of the contexts of all examples: a small request can contain a context and very
many examples."""


def with_context(context: bytes, examples: Sequence[bytes]) -> list[bytes]:
    """Returns the serialized examples, each merged with the context.

    Args:
        context: a serialized tf.Example.
        examples: serialized tf.Examples.

    Raises:
        ServingError: INVALID_ARGUMENT, the copies of the context would be too large.
    """
    size = len(context) * len(examples)
    if size > _LARGEST:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"the context of {len(context)} bytes, repeated for {len(examples)} examples, has "
            f"{size} bytes; at most {_LARGEST} are supported, so send fewer examples per request",
        )
    # Concatenated serialized messages are the merged message.
    return [context + example for example in examples]
