"""Queries of ML Metadata: newest first, in pages or batches, and with quoted texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ml_metadata import ListOptions, OrderByField

BATCH = 1000
"""Number of ids that every database accepts in one query."""

_PAGE = 20
_FIRST_SPAN = 500
_WIDER = 8


def newest_first(query: Callable[[Any], Sequence[Any]], where: str) -> Iterator[Any]:
    """Messages that match a condition, newest first, read in pages.

    With only the condition, the database would find all matches before it orders them. Here it
    searches the newest ids first, then ever larger ranges of older ids while the caller iterates.

    Args:
        query: returns the messages for ListOptions.
        where: a filter query.
    """
    last = query(newest(1))
    before, span = (last[0].id + 1 if last else 1), _FIRST_SPAN
    while before > 1:
        after = max(0, before - 1 - span)
        page = query(newest(_PAGE, f"id > {after} AND id < {before} AND {where}"))
        yield from page
        if len(page) == _PAGE:
            before = page[-1].id
        else:
            before, span = after + 1, span * _WIDER


def batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """Splits ids into batches for one query each."""
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]


def newest(limit: int, where: str | None = None) -> Any:
    """The ListOptions for the newest messages, newest first, that match a filter query."""
    return ListOptions(limit=limit, order_by=OrderByField.ID, is_asc=False, filter_query=where)


def quoted(text: str) -> str:
    """Quotes a text for a filter query."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
