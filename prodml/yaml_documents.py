"""YAML that people write, read within bounds.

A few lines can stand for more values than memory holds, by aliases of aliases. They are refused
before anything is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from prodml.documents import MAX_DEPTH, TOO_DEEP

MAX_YAML_CHARACTERS = 1 << 17
"""PyYAML reads about 100 kB a second; a configuration has a few."""
MAX_YAML_VALUES = 50_000
"""Aliases and merges counted with all that they stand for."""

_NAMED = re.compile("(alias|anchor|tag|handle) '.*'")


class YamlError(ValueError):
    """A document is not what it should be, or beyond the bounds; says at which line.

    Args:
        what: what is wrong, without the line itself: a secret may stand in it.
        mark: where, as PyYAML has it.
    """

    def __init__(self, what: str, mark: Any = None) -> None:
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        super().__init__(f"{what}{where}")


def parse_yaml(text: str) -> Any:
    """The value of a YAML document, as `yaml.safe_load` gives it.

    Raises:
        YamlError: it is no YAML document, is beyond the bounds, or has a key twice.
    """
    if len(text) > MAX_YAML_CHARACTERS:
        raise YamlError(f"it has more than {MAX_YAML_CHARACTERS:,} characters")
    try:
        _check_yaml(text)
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        problem = _NAMED.sub(r"\1", str(error.problem))
        raise YamlError(f"it is not YAML: {problem}", error.problem_mark) from error
    except yaml.YAMLError as error:
        raise YamlError(f"it is not YAML: {type(error).__name__}") from error
    except YamlError:
        raise
    except ValueError as error:
        # A date such as 2026-13-45, or a number with more digits than Python reads.
        raise YamlError(f"it has a wrong value: {error}", _wrong_scalar(text)) from error


@dataclass
class _Open:
    """A list or mapping of which the end has not come."""

    anchor: str | None
    is_mapping: bool = False
    values: int = 1
    height: int = 1
    children: int = 0
    keys: dict[str, int] = field(default_factory=dict)
    """With the line of each."""


def _check_yaml(text: str) -> None:
    """Walks the events, each of which costs what it is long, without building values."""
    stack = [_Open(None)]
    anchored: dict[str, _Open] = {}
    total = 0
    for event in _node_events(text):
        mark = event.start_mark
        if isinstance(event, yaml.CollectionStartEvent):
            stack.append(_Open(event.anchor, isinstance(event, yaml.MappingStartEvent)))
            ended = None
        elif isinstance(event, yaml.CollectionEndEvent):
            ended = stack.pop()
        elif isinstance(event, yaml.AliasEvent):
            if any(each.anchor == event.anchor for each in stack):
                raise YamlError(f"the alias {event.anchor!r} stands for itself", mark)
            # PyYAML refuses one that names nothing.
            ended = anchored.get(str(event.anchor), _Open(None))
        else:
            ended = _Open(event.anchor)
            _check_key(stack[-1], event)
        if ended is not None:
            parent = stack[-1]
            parent.values += ended.values
            parent.height = max(parent.height, ended.height + 1)
            parent.children += 1
            if ended.anchor is not None:
                anchored[ended.anchor] = ended
            total += ended.values if isinstance(event, yaml.AliasEvent) else 1
        height = ended.height if ended else 1
        if len(stack) - 1 + height > MAX_DEPTH + 1:
            raise YamlError(TOO_DEEP, mark)
        if total > MAX_YAML_VALUES:
            raise YamlError(f"it stands for more than {MAX_YAML_VALUES:,} values", mark)


def _check_key(parent: _Open, event: Any) -> None:
    if not parent.is_mapping or parent.children % 2:
        return
    # A merge is no key; 1 and "1" are two.
    key = repr(event.value) if event.style else str(event.value)
    if key in parent.keys and key != "<<":
        raise YamlError(
            f"the key {event.value!r} stands there twice, first on line {parent.keys[key]}",
            event.start_mark,
        )
    parent.keys[key] = event.start_mark.line + 1


def _node_events(text: str) -> Iterator[Any]:
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            yield event


def _wrong_scalar(text: str) -> Any:
    for event in _node_events(text):
        if isinstance(event, yaml.ScalarEvent) and not event.style:
            try:
                yaml.safe_load(event.value)
            except yaml.YAMLError:
                continue
            except ValueError:
                return event.start_mark
    return None
