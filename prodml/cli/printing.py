"""How the commands print tables, JSON, times and sizes."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from prodml.cli.terminal import escaped, plain

_PIPE_WIDTH = 300


def print_json(value: Any) -> None:
    """Prints a dataclass, or a list of dataclasses, as JSON on standard output."""
    fields = [asdict(v) for v in value] if isinstance(value, list) else value
    print_json_text(json.dumps(asdict(fields) if is_dataclass(fields) else fields, indent=2))  # type: ignore[arg-type]


def print_json_text(text: str, flush: bool = False) -> None:
    """Prints JSON text; control characters in its strings are escaped."""
    print(escaped(text), flush=flush)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints rows under column names; long cells are never truncated, so they can be copied."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # As Text: rich would parse brackets in a string as markup.
        table.add_column(Text(plain(column)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    # Without a terminal, rich would fold cells to a default width of 80 columns.
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def seconds_text(seconds: float) -> str:
    """Formats a duration as `0.4 s`, `12 s` or `3 min 20 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def bytes_text(size: int) -> str:
    """Formats a size as `812 MB`; empty for zero."""
    return f"{size / 1e6:,.0f} MB" if size else ""


def time_text(milliseconds: int) -> str:
    """Formats a Unix time in ms as local time."""
    return datetime.datetime.fromtimestamp(milliseconds / 1000).strftime("%Y-%m-%d %H:%M:%S")


def rows_text(counts: Iterable[dict[str, Any]]) -> str:
    """Formats row counts as `train 10,000, eval 5,000 (12 no label)`."""
    parts = []
    for count in counts:
        lost = ", ".join(f"{number:,} {why}" for why, number in count["dropped"].items() if number)
        parts.append(f"{count['split']} {count['written']:,}" + (f" ({lost})" if lost else ""))
    return ", ".join(parts)
