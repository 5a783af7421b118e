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
from prodml.dsl.locations import author_location
from prodml.errors import DefinitionError

T = TypeVar("T")


class Role(Enum):
    """What an annotation in a component's class body declares."""

    INPUT = "input"
    OUTPUT = "output"
    PARAMETER = "parameter"


class Marker:
    """`Input`, `Output` and `Parameter`: `Input[Examples]` declares an input of a component.

    Messages of ExampleGens have the same names in `prodml.components`, as they have in TFX; what
    is only right for such a message is refused with the import that was meant.
    """

    def __init__(self, role: Role) -> None:
        self._role = role

    def __getitem__(self, declared: Any) -> Any:
        return Annotated[declared, self._role]

    def __call__(self, *_: Any, **__: Any) -> typing.NoReturn:
        raise self.refusal()

    def __getattr__(self, name: str) -> typing.NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self.refusal()

    def __repr__(self) -> str:
        return f"prodml.{self._role.name.capitalize()}"

    def refusal(self) -> DefinitionError:
        """The error for a marker in the place of a value."""
        return _misplaced(self._role)


if typing.TYPE_CHECKING:
    # To a type checker these carry any default: the attribute only declares, nobody reads it.
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
        DefinitionError: an annotation is none of Input, Output and Parameter, an Input or Output
            does not name an artifact type, or an output has a default; names the author's line.
    """
    inputs: dict[str, InputDeclaration] = {}
    outputs: dict[str, OutputDeclaration] = {}
    parameters: dict[str, ParameterDeclaration] = {}
    for name, hint in hints.items():
        role, declared, is_optional = _role_of(hint)
        default = defaults.get(name, REQUIRED)
        match role:
            case None:
                raise _refusal(owner, name, _what_to_write(hint))
            case Role.PARAMETER:
                parameters[name] = ParameterDeclaration(name, declared, default)
            case Role.INPUT:
                _require_artifact_type(owner, name, "Input", declared)
                inputs[name] = InputDeclaration(name, declared, is_optional or default is None)
            case Role.OUTPUT:
                _require_artifact_type(owner, name, "Output", declared)
                if default is not REQUIRED:
                    raise _refusal(owner, name, "an output has no default")
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


def refuse_markers(value: Any) -> None:
    """Returns if a value is none of `Input`, `Output[...]` and so on.

    Raises:
        DefinitionError: it is one; names the message that has the same name.
    """
    if isinstance(value, Marker):
        raise value.refusal()
    role, _, _ = _role_of(value)
    if role is not None:
        raise _misplaced(role)


def _misplaced(role: Role) -> DefinitionError:
    name = role.name.capitalize()
    message = f"prodml.{name} declares what a component has, as in `x: {name}[...]`; it is no value"
    if role is not Role.PARAMETER:
        message += (
            f". For the message of an ExampleGen write `from prodml.components import {name}`"
        )
    return DefinitionError(message, str(author_location()))


def _refusal(owner: str, name: str, message: str) -> DefinitionError:
    return DefinitionError(f"{owner}.{name}: {message}", str(author_location()))


def _what_to_write(hint: Any) -> str:
    if isinstance(hint, Marker):
        return f"write {hint!r}[...]".replace("prodml.", "")
    name = getattr(hint, "__name__", str(hint))
    if name in (role.name.capitalize() for role in Role):
        return f"{hint.__module__}.{name} declares nothing; write `from prodml import {name}`"
    return f"{name} declares nothing; write Input[...], Output[...] or Parameter[...]"


def _require_artifact_type(owner: str, name: str, kind: str, declared: Any) -> None:
    if not (isinstance(declared, type) and issubclass(declared, Artifact)):
        message = f"{kind}[...] takes an artifact type such as Examples, got {declared!r}"
        raise _refusal(owner, name, message)
