"""Reads a component's annotated class body into a Signature."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Final, TypeAlias, TypeVar

from prodml.artifacts import Artifact
from prodml.dsl.locations import author_location
from prodml.errors import DefinitionError

T = TypeVar("T")


class Role(Enum):
    """What an annotation in a component's class body declares."""

    INPUT = "input"
    OUTPUT = "output"
    PARAMETER = "parameter"


class Marker:
    """The class of `Input`, `Output` and `Parameter`; `Input[Examples]` declares an input.

    As in TFX, configuration messages of ExampleGens are also named Input and Output, in
    `prodml.components`. Using a marker like such a message raises an error with the right import.
    """

    def __init__(self, role: Role) -> None:
        self._role = role

    def __getitem__(self, declared: Any) -> Any:
        return Annotated[declared, self._role]

    def __call__(self, *_: Any, **__: Any) -> typing.NoReturn:
        raise self.misuse_error()

    def __getattr__(self, name: str) -> typing.NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self.misuse_error()

    def __repr__(self) -> str:
        return f"prodml.{self._role.name.capitalize()}"

    def misuse_error(self) -> DefinitionError:
        """Returns the error for a marker that is used as a value."""
        return _misuse_error(self._role)


if typing.TYPE_CHECKING:
    # For type checkers, such an attribute may have any default: it is never read.
    Input: TypeAlias = T | Any
    Output: TypeAlias = T | Any
    Parameter: TypeAlias = T | Any
else:
    Input = Marker(Role.INPUT)
    Output = Marker(Role.OUTPUT)
    Parameter = Marker(Role.PARAMETER)

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
    """A parameter; `default` is REQUIRED if it has no default."""

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
        DefinitionError: an annotation is none of Input, Output and Parameter, an Input or Output
            does not name an artifact type, or an output has a default; the message names the
            author's line.
    """
    inputs: dict[str, InputDeclaration] = {}
    outputs: dict[str, OutputDeclaration] = {}
    parameters: dict[str, ParameterDeclaration] = {}
    for name, hint in hints.items():
        role, declared, is_optional = _role_of(hint)
        default = defaults.get(name, REQUIRED)
        match role:
            case None:
                raise _declaration_error(owner, name, _unknown_annotation(hint))
            case Role.PARAMETER:
                parameters[name] = ParameterDeclaration(name, declared, default)
            case Role.INPUT:
                _require_artifact_type(owner, name, "Input", declared)
                inputs[name] = InputDeclaration(name, declared, is_optional or default is None)
            case Role.OUTPUT:
                _require_artifact_type(owner, name, "Output", declared)
                if default is not REQUIRED:
                    raise _declaration_error(owner, name, "an output cannot have a default")
                outputs[name] = OutputDeclaration(name, declared)
    return Signature(inputs, outputs, parameters)


def _role_of(hint: Any) -> tuple[Role | None, Any, bool]:
    """Returns the role, the declared type, and whether `| None` follows it."""
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


def reject_marker(value: Any) -> None:
    """Checks that a value is none of `Input`, `Output[...]` and so on.

    Raises:
        DefinitionError: the value is a marker; the message shows the import of the configuration
            message with the same name.
    """
    if isinstance(value, Marker):
        raise value.misuse_error()
    role, _, _ = _role_of(value)
    if role is not None:
        raise _misuse_error(role)


def _misuse_error(role: Role) -> DefinitionError:
    name = role.name.capitalize()
    message = f"prodml.{name} is only for declarations, as in `x: {name}[...]`; it is not a value"
    if role is not Role.PARAMETER:
        message += (
            f". For the message of an ExampleGen, write `from prodml.components import {name}`"
        )
    return DefinitionError(message, str(author_location()))


def _declaration_error(owner: str, name: str, message: str) -> DefinitionError:
    return DefinitionError(f"{owner}.{name}: {message}", str(author_location()))


def _unknown_annotation(hint: Any) -> str:
    """Says what to write instead of an annotation that declares nothing."""
    if isinstance(hint, Marker):
        return f"write {hint!r}[...]".replace("prodml.", "")
    name = getattr(hint, "__name__", str(hint))
    if name in (role.name.capitalize() for role in Role):
        return f"{hint.__module__}.{name} declares nothing; write `from prodml import {name}`"
    return f"{name} declares nothing; write Input[...], Output[...] or Parameter[...]"


def _require_artifact_type(owner: str, name: str, kind: str, declared: Any) -> None:
    if not (isinstance(declared, type) and issubclass(declared, Artifact)):
        message = f"{kind}[...] expects an artifact type such as Examples, got {declared!r}"
        raise _declaration_error(owner, name, message)
