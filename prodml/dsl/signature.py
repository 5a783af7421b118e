"""A component's annotated class body, read once into a signature."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Final, TypeAlias, TypeVar

from prodml.artifacts import Artifact
from prodml.errors import DefinitionError

T = TypeVar("T")


class Role(Enum):
    """What an annotation in a component's class body declares."""

    INPUT = "input"
    OUTPUT = "output"
    PARAMETER = "parameter"


if typing.TYPE_CHECKING:
    # To a type checker these carry any default: the attribute only declares, nobody reads it.
    Input: TypeAlias = T | Any
    Output: TypeAlias = T | Any
    Parameter: TypeAlias = T | Any
else:
    Input = Annotated[T, Role.INPUT]
    Output = Annotated[T, Role.OUTPUT]
    Parameter = Annotated[T, Role.PARAMETER]

REQUIRED: Final = dataclasses.MISSING


@dataclass(frozen=True)
class InputDeclaration:
    name: str
    type: type[Artifact]
    is_optional: bool


@dataclass(frozen=True)
class OutputDeclaration:
    name: str
    type: type[Artifact]


@dataclass(frozen=True)
class ParameterDeclaration:
    """A parameter: `default` is REQUIRED where there is none."""

    name: str
    type: Any
    default: Any


@dataclass(frozen=True)
class Signature:
    """Inputs, outputs and parameters of a component, by name, in the order of declaration."""

    inputs: Mapping[str, InputDeclaration]
    outputs: Mapping[str, OutputDeclaration]
    parameters: Mapping[str, ParameterDeclaration]


def read_signature(owner: str, hints: Mapping[str, Any], defaults: Mapping[str, Any]) -> Signature:
    """Reads annotations such as `examples: Input[Examples]`.

    Args:
        owner: the component's name, for messages.
        hints: evaluated annotations by name, extras included.
        defaults: default values by name.

    Raises:
        DefinitionError: an Input or Output does not name an artifact type, or an output has a
            default.
    """
    inputs: dict[str, InputDeclaration] = {}
    outputs: dict[str, OutputDeclaration] = {}
    parameters: dict[str, ParameterDeclaration] = {}
    for name, hint in hints.items():
        role, declared, is_optional = _role_of(hint)
        default = defaults.get(name, REQUIRED)
        match role:
            case None:
                continue
            case Role.PARAMETER:
                parameters[name] = ParameterDeclaration(name, declared, default)
            case Role.INPUT:
                _require_artifact_type(owner, name, "Input", declared)
                inputs[name] = InputDeclaration(name, declared, is_optional or default is None)
            case Role.OUTPUT:
                _require_artifact_type(owner, name, "Output", declared)
                if default is not REQUIRED:
                    raise DefinitionError(f"{owner}.{name}: an output has no default")
                outputs[name] = OutputDeclaration(name, declared)
    return Signature(inputs, outputs, parameters)


def _role_of(hint: Any) -> tuple[Role | None, Any, bool]:
    """The role, the declared type, and whether `| None` was written behind it."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        declared, *marks = typing.get_args(hint)
        roles = [mark for mark in marks if isinstance(mark, Role)]
        # `Parameter[FilePath]` is one flat Annotated: the mark of FilePath stays with the type.
        for mark in marks:
            if not isinstance(mark, Role):
                declared = Annotated[declared, mark]
        return (roles[0], declared, False) if roles else (None, declared, False)
    if origin in (typing.Union, types.UnionType):
        members = typing.get_args(hint)
        for member in members:
            role, declared, _ = _role_of(member)
            if role is Role.PARAMETER:
                others = [m for m in members if m is not member]
                return role, typing.Union[(declared, *others)], False
            if role is not None:
                return role, declared, type(None) in members
    return None, hint, False


def _require_artifact_type(owner: str, name: str, kind: str, declared: Any) -> None:
    if not (isinstance(declared, type) and issubclass(declared, Artifact)):
        raise DefinitionError(
            f"{owner}.{name}: {kind}[...] takes an artifact type such as Examples, got {declared!r}"
        )
