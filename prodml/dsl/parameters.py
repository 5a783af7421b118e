"""Parameter values: types for paths whose content is fingerprinted, and the JSON form of values."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import UnionType
from typing import (
    Annotated,
    Any,
    Optional,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from prodml.secrets import Secret

JsonValue: TypeAlias = Any
"""None, bool, int, float, str, or a list or dict with string keys of these."""


class Watched(StrEnum):
    """What a text in a parameter refers to; the node's fingerprint includes its content."""

    FILE = "file"
    MODULE = "module"
    FUNCTION = "function"
    DATA = "data"


FilePath = Annotated[str, Watched.FILE]
"""Path of a file; the node's fingerprint includes its content."""

ModulePath = Annotated[str, Watched.MODULE]
"""Path of a Python file; the fingerprint includes its code and that of its local imports."""

FunctionPath = Annotated[str, Watched.FUNCTION]
"""A function as `package.module.function`; the fingerprint includes its module's code."""

DataPath = Annotated[str, Watched.DATA]
"""Path of data that the component's driver fingerprints; the path itself does not count."""


def watched(declared: Any, value: JsonValue) -> Iterator[tuple[str, Watched]]:
    """Finds the texts in a parameter's value that refer to files or code.

    The types above may be anywhere in the declared type: `list[FilePath]`, a field of a dataclass.

    Args:
        declared: the declared type.
        value: the value as JSON, as `encode` returns it.

    Yields:
        The location of the text, as a JSON pointer (RFC 6901) into the value, and what the text
        refers to.

    Raises:
        ValueError: the keys of a dict are declared to be paths.
    """
    origin, arguments = get_origin(declared), get_args(declared)
    if origin is Annotated:
        marks = [mark for mark in arguments[1:] if isinstance(mark, Watched)]
        if marks and isinstance(value, str):
            yield "", marks[0]
        else:
            yield from watched(arguments[0], value)
    elif origin in (Union, UnionType):
        yield from dict.fromkeys(found for each in arguments for found in watched(each, value))
    elif isinstance(value, list) and arguments:
        for index, item in enumerate(value):
            is_fixed = origin is tuple and arguments[-1] is not Ellipsis
            kind = arguments[index] if is_fixed and index < len(arguments) else arguments[0]
            yield from _below(str(index), kind, item)
    elif isinstance(value, dict) and len(arguments) == 2:
        if any(True for key in value for _ in watched(arguments[0], key)):
            raise ValueError("the keys of a dict cannot be watched paths; put them into its values")
        for key, item in value.items():
            yield from _below(key, arguments[1], item)
    elif isinstance(value, dict) and dataclasses.is_dataclass(declared):
        for name, kind in get_type_hints(declared, include_extras=True).items():
            if name in value:
                yield from _below(name, kind, value[name])


def _below(key: str, declared: Any, value: JsonValue) -> Iterator[tuple[str, Watched]]:
    yield from ((f"/{pointer_step(key)}{at}", kind) for at, kind in watched(declared, value))


def pointer_step(key: str) -> str:
    """Escapes a key as a step of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def encode(declared: Any, value: Any) -> JsonValue:
    """Checks a value against its declared type and returns its JSON form.

    Protocol buffers become the dict that `json_format.MessageToDict` returns with the proto's own
    field names; dataclasses become dicts of their fields; a Secret becomes its reference.

    Raises:
        ValueError: the value is not of the declared type; the message says where, what was
            expected, and what was given unless it may contain a secret.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    # Optional, because pydantic accepts a configuration for a union but not for a bare dataclass.
    adapter: TypeAdapter[Any] = TypeAdapter(Optional[declared], config=ConfigDict(extra="forbid"))  # noqa: UP045
    _reject_other_classes(declared, value, "")
    plain = _plain(value)
    try:
        if plain is None:
            TypeAdapter(declared).validate_python(None)
        checked = adapter.validate_python(plain, strict=_is_scalar(plain))
    except ValidationError as error:
        raise ValueError(_explain(error, declared)) from None
    return adapter.serializer.to_python(checked, mode="json", warnings=False, fallback=_no_schema)


def decode(declared: Any, value: JsonValue) -> Any:
    """Returns the value of the declared type whose JSON form `encode` returned."""
    from pydantic import TypeAdapter

    return TypeAdapter(declared).validate_python(value)


def declares_secret(declared: Any) -> bool:
    """Returns whether a declared type contains Secret; messages must not show such values."""
    seen: list[Any] = []
    pending = [declared]
    while pending:
        part = pending.pop()
        if part is Secret:
            return True
        if part in seen:
            continue
        seen.append(part)
        pending += get_args(part)
        if isinstance(part, type) and dataclasses.is_dataclass(part):
            pending += get_type_hints(part).values()
    return False


def _no_schema(value: Any) -> JsonValue:
    """Returns the JSON form of a value whose declared type is Any, such as a default."""
    if isinstance(value, Secret):
        return value.reference
    raise ValueError(f"{type(value).__name__} has no JSON form")


def _is_scalar(value: Any) -> bool:
    # Strict, so that True is not an int and "3" is not 3; lax for containers, so that a list is
    # accepted for a declared tuple.
    return isinstance(value, bool | int | float | str)


def _plain(value: Any) -> Any:
    """Turns dataclasses and protocol buffers into dicts, so that their fields are checked too."""
    if hasattr(value, "DESCRIPTOR") and hasattr(value, "SerializeToString"):
        from google.protobuf import json_format

        return json_format.MessageToDict(value, preserving_proto_field_name=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _reject_other_classes(declared: Any, value: Any, where: str) -> None:
    """Checks that dataclasses are of a declared class: others may have the same fields.

    Raises:
        ValueError: a dataclass is not of a declared class.
    """
    choices = _choices(declared)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        wanted = _dataclasses(choices)
        if wanted and not isinstance(value, tuple(wanted)):
            names = " or ".join(each.__name__ for each in wanted)
            at = f"{where}: " if where else ""
            raise ValueError(f"{at}expected {names}, got {type(value).__name__}")
        hints = get_type_hints(type(value))
        inner = [(f.name, hints[f.name], getattr(value, f.name)) for f in dataclasses.fields(value)]
    elif isinstance(value, Mapping):
        fields = [get_type_hints(each) for each in _dataclasses(choices)]
        items = next((get_args(each)[-1] for each in choices if get_origin(each) is dict), Any)
        hints = {name: hint for each in fields for name, hint in each.items()}
        inner = [(str(key), hints.get(key, items), item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        sequences = [each for each in choices if get_origin(each) in (list, tuple)]
        item_type = get_args(sequences[0])[0] if sequences else Any
        inner = [(str(index), item_type, item) for index, item in enumerate(value)]
    else:
        return
    for step, hint, item in inner:
        _reject_other_classes(hint, item, f"{where}.{step}" if where else step)


def _dataclasses(choices: list[Any]) -> list[type]:
    return [each for each in choices if isinstance(each, type) and dataclasses.is_dataclass(each)]


def _choices(declared: Any) -> list[Any]:
    """Returns the members of a union, without their annotations."""
    if get_origin(declared) is Annotated:
        return _choices(get_args(declared)[0])
    if get_origin(declared) in (Union, types.UnionType):
        return [each for member in get_args(declared) for each in _choices(member)]
    return [declared]


def _explain(error: Any, declared: Any) -> str:
    parts = []
    for problem in error.errors():
        where = ".".join(str(step) for step in problem["loc"])
        parts.append(f"{where}: {problem['msg']}" if where else problem["msg"])
    if declares_secret(declared):
        return "; ".join(parts)
    got = error.errors()[0].get("input")
    return f"{'; '.join(parts)}; got {got!r}"
