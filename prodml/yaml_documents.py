"""Parses users' YAML within limits.

With aliases of aliases, a few lines can expand to more values than fit into memory. Such documents
are rejected before anything is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from prodml.documents import MAX_DEPTH, TOO_DEEP

MAX_YAML_CHARACTERS = 1 << 17
"""PyYAML parses about 100 kB per second; a configuration has a few kB."""
MAX_YAML_VALUES = 50_000
"""Maximum number of values, with aliases and merges expanded."""

_NAMED = re.compile("(alias|anchor|tag|handle) '.*'")


class YamlError(ValueError):
    """A document is invalid or exceeds a limit; the message has the line number.

    Args:
        what: what is wrong, without the text of the line, which may contain a secret.
        mark: PyYAML's mark of the location.
    """

    def __init__(self, what: str, mark: Any = None) -> None:
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        super().__init__(f"{what}{where}")


def parse_yaml(text: str) -> Any:
    """Parses a YAML document, as `yaml.safe_load` does.

    Raises:
        YamlError: the document is not YAML, exceeds a limit, or has a duplicate key.
    """
    if len(text) > MAX_YAML_CHARACTERS:
        raise YamlError(f"the document has more than {MAX_YAML_CHARACTERS:,} characters")
    try:
        _check_yaml(text)
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        problem = _NAMED.sub(r"\1", str(error.problem))
        raise YamlError(f"invalid YAML: {problem}", error.problem_mark) from error
    except yaml.YAMLError as error:
        raise YamlError(f"invalid YAML: {type(error).__name__}") from error
    except YamlError:
        raise
    except ValueError as error:
        # A date such as 2026-13-45, or a number with more digits than Python parses.
        raise YamlError(f"invalid value: {error}", _wrong_scalar(text)) from error


@dataclass
class _Open:
    """A list or mapping whose end has not been read."""

    anchor: str | None
    is_mapping: bool = False
    values: int = 1
    height: int = 1
    children: int = 0
    keys: dict[str, int] = field(default_factory=dict)
    """Line numbers by key."""


def _check_yaml(text: str) -> None:
    """Checks the limits on the parser's events, in linear time, without building values."""
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
                raise YamlError(f"the alias {event.anchor!r} refers to itself", mark)
            # PyYAML rejects an unknown alias later.
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
            raise YamlError(f"the document expands to more than {MAX_YAML_VALUES:,} values", mark)


def _check_key(parent: _Open, event: Any) -> None:
    if not parent.is_mapping or parent.children % 2:
        return
    # A merge is not a key, and 1 and "1" are different keys.
    key = repr(event.value) if event.style else str(event.value)
    if key in parent.keys and key != "<<":
        raise YamlError(
            f"duplicate key {event.value!r}, first on line {parent.keys[key]}",
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
