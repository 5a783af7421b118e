"""Texts of errors as clients get them."""

from __future__ import annotations

_LONGEST = 6_000
"""Bytes in a trailer: clients refuse answers whose trailers take more than 8 kB together."""
_LONGEST_CHARACTER = 12


def shortened(text: str) -> str:
    """A text that repeats what a client sent, no longer than the trailer of an answer may be."""
    if len(text) * _LONGEST_CHARACTER <= _LONGEST:
        return text
    size = 0
    for position, character in enumerate(text):
        size += _encoded_size(character)
        if size > _LONGEST:
            return f"{text[:position]}..."
    return text


def _encoded_size(character: str) -> int:
    """Bytes of a character in a trailer: all but printable ASCII is percent-encoded."""
    if " " <= character <= "~" and character != "%":
        return 1
    return 3 * len(character.encode("utf-8", "surrogatepass"))
