"""Describes which part of a parameter changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

ABSENT: Final = object()
"""Marks a key, an element or a whole parameter that only one of the two values has."""

_SHOWN = 3
_WIDTH = 40
_CONTEXT = 12
_ELLIPSIS = "..."


@dataclass(frozen=True)
class Difference:
    """One difference between two JSON values.

    Attributes:
        path: the keys and indices of the difference.
        old, new: the values at the path, or ABSENT.
    """

    path: tuple[str | int, ...]
    old: Any
    new: Any


def describe_change(name: str, old: str | None, new: str | None) -> str:
    """Describes a change: `eval_config.slicing_specs[1].feature_keys: ["month"] -> ["day"]`.

    Args:
        name: name of the parameter.
        old, new: two different values of the parameter as JSON; None if it was not set.
    """
    found = list(differences(_parsed(old), _parsed(new)))
    shown = [_described(name, each) for each in found[:_SHOWN]]
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return ", ".join([*shown, *more])


def differences(old: Any, new: Any) -> Iterator[Difference]:
    """Finds the innermost differences of two JSON values; short lists of scalars count as one.

    Each element that was inserted into a list, or removed from it, is one difference; the elements
    around it are not.
    """
    if _same(old, new):
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            yield from _below(key, old.get(key, ABSENT), new.get(key, ABSENT))
    elif isinstance(old, list) and isinstance(new, list) and not _are_short(old, new):
        yield from _of_lists(old, new)
    else:
        yield Difference((), old, new)


def _of_lists(old: Sequence[Any], new: Sequence[Any]) -> Iterator[Difference]:
    shortest = min(len(old), len(new))
    first = next((i for i in range(shortest) if not _same(old[i], new[i])), shortest)
    rest = shortest - first
    last = next((i for i in range(rest) if not _same(old[-1 - i], new[-1 - i])), rest)
    for index in range(first, max(len(old), len(new)) - last):
        yield from _below(
            index,
            old[index] if index < len(old) - last else ABSENT,
            new[index] if index < len(new) - last else ABSENT,
        )


def _below(step: str | int, old: Any, new: Any) -> Iterator[Difference]:
    for inner in differences(old, new):
        yield Difference((step, *inner.path), inner.old, inner.new)


def _same(old: Any, new: Any) -> bool:
    # Compared as text, because 1 == 1.0 == True in Python.
    return _text(old) == _text(new)


def _are_short(*lists: list[Any]) -> bool:
    return all(
        len(_text(each)) <= _WIDTH and not any(isinstance(item, list | dict) for item in each)
        for each in lists
    )


def _described(name: str, difference: Difference) -> str:
    steps = (
        f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{_text(step)}]"
        for step in difference.path
    )
    old, new = _shortened(_text(difference.old), _text(difference.new))
    return f"{name}{''.join(steps)}: {old} -> {new}"


def _shortened(old: str, new: str) -> tuple[str, str]:
    """Cuts both texts to the width, starting shortly before their first difference."""
    start = 0
    if max(len(old), len(new)) > _WIDTH:
        pairs = enumerate(zip(old, new, strict=False))
        differs = next((i for i, (a, b) in pairs if a != b), min(len(old), len(new)))
        start = max(0, differs - _CONTEXT)
    return _cut(old, start), _cut(new, start)


def _cut(text: str, start: int) -> str:
    before = _ELLIPSIS if start else ""
    end = start + _WIDTH - len(before)
    if len(text) <= end:
        return before + text[start:]
    return before + text[start : end - len(_ELLIPSIS)] + _ELLIPSIS


def _text(value: Any) -> str:
    return "unset" if value is ABSENT else json.dumps(value, sort_keys=True)


def _parsed(text: str | None) -> Any:
    return ABSENT if text is None else json.loads(text)
