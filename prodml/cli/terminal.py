"""Makes text from logs, error messages and metadata safe for a terminal.

A terminal executes escape sequences in the text that it shows: they can hide lines, change the
title, or type text into the shell. The output of users' code and libraries may contain untrusted
data.
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
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # Colours and cursor movements.
    r"|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\n\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # Titles, links.
    r"|\x1b[ -/]*[0-OQ-WYZ`-~]"  # Short sequences, such as a reset.
)
# Also lone surrogates, which cannot be encoded, and characters that reorder text.
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_LONGEST_PARTIAL_LINE = 1 << 16


def plain(text: str) -> str:
    """Removes escape sequences, and writes other control characters as `\\u0007`."""
    if not _CONTROLS.search(text):
        return text
    return escaped(_SEQUENCES.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))


def escaped(text: str) -> str:
    """Writes every control character except newlines and tabs as `\\u001b`.

    JSON text keeps its meaning.
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
    """Prints text that may be untrusted, without control characters.

    Args:
        colour: one of click's colour names, used only on a terminal; None for no colour.
        is_error: whether to print on standard error.
    """
    stream = sys.stderr if is_error else sys.stdout
    safe = plain(text)
    if colour is not None and stream.isatty():
        safe = typer.style(safe, fg=colour)
    print(safe, end=end, file=stream, flush=flush)


@contextlib.contextmanager
def lost_output_dropped() -> Iterator[None]:
    """Drops output that the block cannot print, because its reader exited or its disk is full."""
    try:
        yield
        sys.stdout.flush()
    except OSError:
        # Otherwise Python would fail again at exit, when it flushes the rest of the buffer.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_missing_streams() -> None:
    """Opens standard input, output and error if they were closed.

    Otherwise another file would get their descriptor numbers, which are redirected to the log of a
    node while it runs.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))


class PlainOutput:
    """Turns the output of a node, fed as bytes, into plain lines.

    Of a progress bar, which redraws its line by carriage returns, only the last state remains.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="backslashreplace")
        self._partial = ""

    def feed(self, output: bytes) -> str:
        """Adds output and returns its complete lines; a partial line waits for its newline."""
        text = self._partial + self._decoder.decode(output)
        complete, newline, self._partial = text.rpartition("\n")
        if len(self._partial) > _LONGEST_PARTIAL_LINE:
            complete, newline, self._partial = complete + newline + self._partial, "", ""
        return _last_drawn(complete) + newline

    def end(self) -> str:
        """Returns the last line, which has no newline."""
        last, self._partial = self._partial + self._decoder.decode(b"", final=True), ""
        return _last_drawn(last)


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
