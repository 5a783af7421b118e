"""Text of others, such as logs and error messages, made safe for a terminal.

A terminal obeys what is in the text: it can be made to hide lines, to change its title, to type
text into the shell. What users' code and libraries print comes from data now and then.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import sys
from collections.abc import Iterator

import typer

_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # Colours and movements of the cursor.
    r"|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\n\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # Titles, links.
    r"|\x1b[ -/]*[0-OQ-WYZ`-~]"  # Short ones, such as a reset.
)
# Beside control characters: half surrogate pairs, which no encoding has, and what reorders text.
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_LONGEST_REST = 1 << 16


def plain(text: str) -> str:
    """A text without escape sequences and with every other control character as `\\u0007`."""
    if not _CONTROLS.search(text):
        return text
    return escaped(_SEQUENCES.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))


def escaped(text: str) -> str:
    """A text with every control character but newlines and tabs as `\\u001b`.

    What is JSON stays the same JSON.
    """
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def say(
    text: str = "",
    *,
    end: str = "\n",
    colour: str | None = None,
    is_error: bool = False,
    flush: bool = False,
) -> None:
    """Prints a text that may come from others.

    Args:
        colour: a name that click knows, for a terminal; without one, the text stays plain.
        is_error: whether it goes to standard error.
    """
    stream = sys.stderr if is_error else sys.stdout
    safe = plain(text)
    if colour is not None and stream.isatty():
        safe = typer.style(safe, fg=colour)
    print(safe, end=end, file=stream, flush=flush)


@contextlib.contextmanager
def lost_output_dropped() -> Iterator[None]:
    """Drops what the block cannot print: nobody reads it any more, or its disk is full."""
    try:
        yield
        sys.stdout.flush()
    except OSError:
        # What is left in the buffer would be an error again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_missing_streams() -> None:
    """Opens standard input, output and error that were closed, so that no other file takes their
    numbers: what a node prints is sent to its log by these numbers."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))


class PlainOutput:
    """What a node prints, bytes as they come, as plain lines.

    A progress bar, which is drawn over itself by carriage returns, becomes its last state.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="backslashreplace")
        self._rest = ""

    def feed(self, output: bytes) -> str:
        """The lines that are complete; what follows the last newline waits for its own."""
        whole, newline, self._rest = (self._rest + self._decoder.decode(output)).rpartition("\n")
        if len(self._rest) > _LONGEST_REST:
            whole, newline, self._rest = whole + newline + self._rest, "", ""
        return _last_drawn(whole) + newline

    def end(self) -> str:
        """What waits for a newline that will not come."""
        rest, self._rest = self._rest + self._decoder.decode(b"", final=True), ""
        return _last_drawn(rest)


def _last_drawn(lines: str) -> str:
    if "\r" in lines or "\b" in lines:
        lines = "\n".join(map(_last_drawn_line, _SEQUENCES.sub("", lines).split("\n")))
    return plain(lines)


def _last_drawn_line(line: str) -> str:
    drawn = [_without_backspaces(part) for part in line.split("\r")]
    return next((part for part in reversed(drawn) if part.strip()), "")


def _without_backspaces(text: str) -> str:
    if "\b" not in text:
        return text
    kept: list[str] = []
    for letter in text:
        if letter != "\b":
            kept.append(letter)
        elif kept:
            kept.pop()
    return "".join(kept)
