"""Shortens error texts to the size that clients accept."""

from __future__ import annotations

_LONGEST = 6_000
"""Maximum bytes in a trailer: clients reject answers whose trailers together exceed 8 kB."""
_LONGEST_CHARACTER = 12


def shortened(text: str) -> str:
    """Shortens a text, which may quote a long request, to the maximum size of a trailer."""
    if len(text) * _LONGEST_CHARACTER <= _LONGEST:
        return text
    size = 0
    for position, character in enumerate(text):
        size += _encoded_size(character)
        if size > _LONGEST:
            return f"{text[:position]}..."
    return text


def _encoded_size(character: str) -> int:
    """Returns the bytes of a character in a trailer, where all but printable ASCII is
    percent-encoded."""
    if " " <= character <= "~" and character != "%":
        return 1
    return 3 * len(character.encode("utf-8", "surrogatepass"))
