"""Pipelines: a Python function whose parameters are the runtime parameters."""

from __future__ import annotations

import inspect
import os
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json import JSONDecodeError
from typing import Any

from prodml.documents import check_json_depth
from prodml.dsl.component import Component, collecting
from prodml.dsl.locations import SourceLocation, author_location
from prodml.dsl.parameters import JsonValue, declares_secret, decode, encode
from prodml.errors import DefinitionError, ParameterError
from prodml.names import RULE, is_name
from prodml.secrets import REFUSED
from prodml.suggestions import suggest

_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class RuntimeParameter:
    """A typed parameter of a pipeline; `is_required` if it has no default."""

    name: str
    type: Any
    default: Any
    is_required: bool


@dataclass(frozen=True)
class Pipeline:
    """A built pipeline: its components in order, and the parameters it was built with."""

    name: str
    components: tuple[Component, ...]
    parameters: Mapping[str, JsonValue]
    location: SourceLocation


class PipelineDefinition:
    """The result of `@pipeline`; `build` calls the decorated function with checked parameters."""

    def __init__(self, name: str, function: Callable[..., None], location: SourceLocation) -> None:
        self.name = name
        self.location = location
        self.__doc__ = function.__doc__
        self._function = function
        hints = typing.get_type_hints(function)
        self.parameters = {
            argument.name: _runtime_parameter(name, argument, hints, location)
            for argument in inspect.signature(function).parameters.values()
        }

    def build(self, values: Mapping[str, Any] | None = None) -> Pipeline:
        """Runs the function and collects its components.

        Args:
            values: runtime parameters by name; missing ones use their defaults.

        Raises:
            ParameterError: a parameter is unknown, missing, or not of its declared type.
            DefinitionError: a component inside is declared incorrectly.
            UserCodeError: the function raised; the message names the author's line.
        """
        # Imported here, because `prodml --help` and an author's imports do not need it.
        from prodml.dsl.user_code import user_code

        values = values or {}
        for name in values:
            if name not in self.parameters:
                raise ParameterError(
                    f"pipeline {self.name!r} has no parameter {name!r}"
                    f"{suggest(name, self.parameters)}"
                )
        bound = {name: self._value(spec, values) for name, spec in self.parameters.items()}
        directory = os.path.dirname(os.path.abspath(self.location.file))
        with (
            collecting() as components,
            user_code(directory, f"pipeline {self.name!r} cannot be built"),
        ):
            self._function(**{n: decode(self.parameters[n].type, v) for n, v in bound.items()})
        return Pipeline(self.name, tuple(components), bound, self.location)

    def parse(self, name: str, text: str) -> Any:
        """Parses the text of `--param name=text` as the declared type: the text itself, or JSON.

        Raises:
            ParameterError: the parameter does not exist, or the text does not match its type.
        """
        from pydantic import TypeAdapter, ValidationError

        spec = self.parameters.get(name)
        if spec is None:
            raise ParameterError(
                f"pipeline {self.name!r} has no parameter {name!r}{suggest(name, self.parameters)}"
            )
        adapter = TypeAdapter(spec.type)
        try:
            return adapter.validate_strings(text)
        except ValidationError:
            pass
        try:
            check_json_depth(text)
            return adapter.validate_json(text)
        except ValueError as error:
            got = REFUSED if declares_secret(spec.type) else f"got {_shortened(text)!r}"
            if isinstance(error, JSONDecodeError):
                got += f": {error.msg}"
            raise ParameterError(
                f"parameter {name!r} of pipeline {self.name!r} must be {type_text(spec.type)}, "
                f"{got}"
            ) from None

    def _value(self, spec: RuntimeParameter, values: Mapping[str, Any]) -> JsonValue:
        if spec.name not in values:
            if spec.is_required:
                raise ParameterError(
                    f"pipeline {self.name!r} needs the parameter {spec.name!r} "
                    f"({type_text(spec.type)}); set it with --param {spec.name}=..."
                )
            return encode(spec.type, spec.default)
        try:
            return encode(spec.type, values[spec.name])
        except ValueError as error:
            raise ParameterError(
                f"parameter {spec.name!r} of pipeline {self.name!r} must be "
                f"{type_text(spec.type)}: {error}"
            ) from None


def pipeline(name: str) -> Callable[[Callable[..., None]], PipelineDefinition]:
    """Decorates a function that defines a pipeline.

    Args:
        name: name of the pipeline in the metadata store; see `prodml.names.RULE`.

    Raises:
        DefinitionError: the name breaks that rule, or a parameter has no type.
    """
    location = author_location()
    if not is_name(name):
        raise DefinitionError(f"pipeline name {name!r}: {RULE}", str(location))

    def decorate(function: Callable[..., None]) -> PipelineDefinition:
        return PipelineDefinition(name, function, location)

    return decorate


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def type_text(declared: Any) -> str:
    """Formats a type as an author would write it."""
    return declared.__name__ if isinstance(declared, type) else str(declared)


def _runtime_parameter(
    owner: str,
    argument: inspect.Parameter,
    hints: Mapping[str, Any],
    location: SourceLocation,
) -> RuntimeParameter:
    if argument.name not in hints:
        raise DefinitionError(
            f"parameter {argument.name!r} of pipeline {owner!r} has no type", str(location)
        )
    return RuntimeParameter(
        name=argument.name,
        type=hints[argument.name],
        default=argument.default,
        is_required=argument.default is inspect.Parameter.empty,
    )
