"""Progress of a run: one live line per node, or plain lines without a terminal."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from prodml.cli.printing import seconds_text
from prodml.cli.terminal import plain
from prodml.orchestration.results import NodeResult, NodeState, Observer

_STYLES = {
    NodeState.COMPLETE: ("✓", "green"),
    NodeState.CACHED: ("=", "cyan"),
    NodeState.FAILED: ("✗", "red"),
    NodeState.SKIPPED: ("-", "yellow"),
}


@contextlib.contextmanager
def follow(node_ids: Sequence[str], descriptor: int = 1) -> Iterator[Observer]:
    """Shows the progress of nodes while the block runs.

    Writes to a duplicate of the descriptor: while a node runs, the original is redirected to the
    node's log.

    Args:
        node_ids: ids of the nodes, in the order in which they are shown.
        descriptor: 1 for standard output, 2 for standard error.
    """
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    terminal: Any = _Terminal(os.dup(descriptor))
    try:
        if not terminal.isatty():
            yield PlainLines(terminal)
            return
        lines = LiveLines(node_ids)
        with Live(lines, console=Console(file=terminal), refresh_per_second=8, transient=True):
            yield lines
        Console(file=terminal).print(lines)
    finally:
        os.close(terminal.fileno())


class _Terminal(io.TextIOBase):
    """Writes to a descriptor; output that cannot be written is dropped.

    So a run continues if its terminal is closed, the reader of a pipe exits, or a disk is full.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, text: str) -> int:
        remaining = text.encode(errors="backslashreplace")
        with contextlib.suppress(OSError):
            while remaining:
                remaining = remaining[os.write(self._descriptor, remaining) :]
        return len(text)

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"


class PlainLines:
    """Prints one line when a node starts and one when it ends, each starting with the time."""

    def __init__(self, terminal: io.TextIOBase) -> None:
        self._terminal = terminal
        self._started = time.monotonic()

    def node_started(self, node_id: str, reason: str) -> None:
        self._say(f"{node_id} runs: {reason}")

    def node_progress(self, node_id: str, done: int, total: int | None, unit: str) -> None:
        """Prints nothing: plain lines usually go to logs, which progress would fill."""

    def node_retried(self, failed: NodeResult, wait_seconds: float) -> None:
        self._say(f"{failed.node_id} failed, {_next_attempt(failed, wait_seconds)}")

    def node_finished(self, result: NodeResult) -> None:
        first, *_ = result.message.splitlines() or [""]
        # The reason of a node that ran was printed when it started.
        why = f": {first}" if result.attempt == 0 else ""
        if result.state is NodeState.FAILED:
            why = f": {first}"
        self._say(f"{result.node_id} {result.state} in {seconds_text(result.seconds)}{why}")

    def _say(self, text: str) -> None:
        elapsed = time.monotonic() - self._started
        self._terminal.write(f"{elapsed:7.1f} s  {plain(text)}\n")


@dataclass
class _Line:
    text: str = "waiting"
    style: str = "dim"
    mark: str = " "
    started: float | None = None
    seconds: float | None = None


class LiveLines:
    """A table with one line per node, which rich renders several times a second."""

    def __init__(self, node_ids: Sequence[str]) -> None:
        self._lines = {node_id: _Line() for node_id in node_ids}

    def node_started(self, node_id: str, reason: str) -> None:
        self._lines[node_id] = _Line(reason, "bold", "▸", started=time.monotonic())

    def node_progress(self, node_id: str, done: int, total: int | None, unit: str) -> None:
        of = f" of {total:,}" if total is not None else ""
        self._lines[node_id].text = f"{done:,}{of} {unit}"

    def node_retried(self, failed: NodeResult, wait_seconds: float) -> None:
        self._lines[failed.node_id] = _Line(_next_attempt(failed, wait_seconds), "yellow", "↻")

    def node_finished(self, result: NodeResult) -> None:
        mark, style = _STYLES[result.state]
        first, *_ = result.message.splitlines() or [""]
        self._lines[result.node_id] = _Line(first, style, mark, seconds=result.seconds)

    def __rich__(self) -> Table:
        table = Table.grid(padding=(0, 2))
        now = time.monotonic()
        for node_id, line in self._lines.items():
            seconds = now - line.started if line.started is not None else line.seconds
            table.add_row(
                Text(line.mark, line.style),
                Text(node_id, line.style),
                Text(seconds_text(seconds) if seconds is not None else "", justify="right"),
                Text(plain(line.text), overflow="ellipsis", no_wrap=True),
            )
        return table


def _next_attempt(failed: NodeResult, wait_seconds: float) -> str:
    first, *_ = failed.message.splitlines() or [""]
    return f"attempt {failed.attempt + 1} follows in {seconds_text(wait_seconds)}: {first}"
