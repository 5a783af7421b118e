"""Components: declared by an annotated class body, or by a typed function."""

from __future__ import annotations

import contextlib
import functools
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, ClassVar, Literal, Self

from prodml.dsl.channel import Channel, OutputChannel
from prodml.dsl.conditions import open_conditions
from prodml.dsl.locations import author_location
from prodml.dsl.parameters import JsonValue, encode
from prodml.dsl.signature import REQUIRED, Signature, read_signature, reject_marker
from prodml.errors import DefinitionError
from prodml.suggestions import suggest


class Outputs(Mapping[str, OutputChannel]):
    """A component's outputs by key; the error for an unknown key suggests a known one.

    Args:
        owner: the component's name.
        channels: the outputs by key.
        omitted: for each declared output that is not produced, the argument that disables it.
    """

    def __init__(
        self, owner: str, channels: Mapping[str, OutputChannel], omitted: Mapping[str, str]
    ) -> None:
        self._owner = owner
        self._channels = dict(channels)
        self._omitted = dict(omitted)

    def __getitem__(self, key: str) -> OutputChannel:
        if key in self._omitted:
            raise DefinitionError(
                f"{self._owner} does not produce {key!r} because of {self._omitted[key]}",
                str(author_location()),
            )
        if key not in self._channels:
            raise DefinitionError(
                f"{self._owner} has no output {key!r}{suggest(key, self._channels)}",
                str(author_location()),
            )
        return self._channels[key]

    def __iter__(self) -> Any:
        return iter(self._channels)

    def __len__(self) -> int:
        return len(self._channels)


class Component:
    """Base class of all components. Annotations in the class body declare a component:

        class StatisticsGen(Component):
            examples: Input[Examples]
            schema: Input[Schema] | None = None
            exclude_splits: Parameter[list[str]] = ()
            statistics: Output[ExampleStatistics]

    Every annotation is one of these three; annotate other class attributes with ClassVar.

    `executor.py` beside the file of the class defines `execute(context: ExecutorContext) -> None`,
    which does the work. An optional `driver.py` beside it reads external state before the cache
    lookup (see `prodml.dsl.executor.DriverResult`).

    Raises:
        DefinitionError: an argument is unknown, missing or of the wrong type; the message names
            the author's line.
    """

    signature: Signature
    execution_type: ClassVar[str] = ""
    """Name of the ML Metadata execution type; `module.Class` if it is empty."""
    kind: ClassVar[Literal["executor", "resolver", "importer"]] = "executor"
    """Resolvers and importers only find artifacts, so the coordinator runs them itself."""
    is_thread_safe: ClassVar[bool] = False
    """Whether the executor is thread-safe and may run in a thread beside other nodes. It must not
    change state of the whole process: random seeds, TensorFlow's settings, the working directory.
    Output of C++ code goes to the log of the other node meanwhile."""

    judges: tuple[str, ...] = ()
    """Inputs that the component judges, which makes it a guard. If it fails, the nodes that consume
    the examples in these inputs, or the examples that these inputs were computed from, such as
    statistics, are skipped. A component that cannot fail with its parameters sets it to ()."""
    needs_clean_run: bool = False
    """Whether the component runs only if no node has failed. It then runs after all nodes that do
    not depend on it. Set it for effects that a failed run must not have, such as pushing a model.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        hints = {
            name: hint
            for name, hint in typing.get_type_hints(cls, include_extras=True).items()
            if typing.get_origin(hint) is not ClassVar and name not in Component.__annotations__
        }
        defaults = {name: getattr(cls, name) for name in hints if hasattr(cls, name)}
        cls.signature = read_signature(cls.__name__, hints, defaults)
        cls.__signature__ = _python_signature(cls.signature)  # type: ignore[attr-defined]

    def __init__(self, **arguments: Any) -> None:
        self.location = author_location()
        self.id = type(self).__name__
        self.is_cached = True
        self.is_guarded = True
        self.upstream: list[Component] = []
        self.conditions = open_conditions()
        self.inputs: dict[str, tuple[Channel, ...]] = {}
        self.parameters: dict[str, JsonValue] = {}
        self._bind(arguments)
        omitted = self.omitted_outputs()
        self.outputs = Outputs(
            type(self).__name__,
            {
                name: OutputChannel(declared.type, self, name)
                for name, declared in self.signature.outputs.items()
                if name not in omitted
            },
            omitted,
        )
        _register(self)

    def omitted_outputs(self) -> Mapping[str, str]:
        """Returns the declared outputs that these parameters disable, with the disabling argument.

        An output that would stay empty must not be published, because resolvers would find it.
        """
        return {}

    def with_id(self, id: str) -> Self:
        """Sets the node id, whose default is the class name."""
        self.id = id
        return self

    def without_cache(self) -> Self:
        """Disables the cache for this node, so that it runs every time."""
        self.is_cached = False
        return self

    def without_guards(self) -> Self:
        """Runs this node even if a validator of the examples that it consumes fails."""
        self.is_guarded = False
        return self

    def add_upstream_node(self, upstream: Component) -> None:
        """Runs this node after `upstream`, although no data passes between them."""
        self.upstream.append(upstream)

    def _bind(self, arguments: Mapping[str, Any]) -> None:
        declared = self.signature
        known = [*declared.inputs, *declared.parameters]
        for name in arguments:
            if name not in known:
                self._refuse(f"has no argument {name!r}{suggest(name, known)}")
        for name, spec in declared.inputs.items():
            value = arguments.get(name)
            if value is None:
                if not spec.is_optional:
                    self._refuse(f"needs the input {name!r} ({spec.type.type_name})")
                continue
            self.inputs[name] = self._channels(name, spec.type.type_name, value)
        for name, parameter in declared.parameters.items():
            value = arguments.get(name, parameter.default)
            if value is REQUIRED:
                self._refuse(f"needs the parameter {name!r}")
            reject_marker(value)
            try:
                # A default, such as None or (), may be of another type than the declared one.
                is_default = name not in arguments or value is parameter.default
                target = Any if is_default else parameter.type
                self.parameters[name] = encode(target, value)
            except ValueError as error:
                self._refuse(f"parameter {name!r}: {error}")

    def _channels(self, name: str, type_name: str, value: Any) -> tuple[Channel, ...]:
        channels = tuple(value) if isinstance(value, list | tuple) else (value,)
        for channel in channels:
            if not isinstance(channel, Channel):
                self._refuse(
                    f"input {name!r} expects a Channel of {type_name}, got {channel!r}; "
                    f"write other.outputs[...]"
                )
            if channel.type.type_name != type_name:
                self._refuse(f"input {name!r} expects {type_name}, got {channel!r}")
        return channels

    def _refuse(self, message: str) -> typing.NoReturn:
        raise DefinitionError(f"{type(self).__name__} {message}", str(author_location()))


def component(function: Callable[..., None]) -> type[Component]:
    """Creates a component from a function whose arguments are Input, Output and Parameter.

        @component
        def CountRows(examples: Input[Examples], count: Output[Count], scale: Parameter[int] = 1):
            ...

    When the node runs, the function gets one artifact for each input and output and the values of
    the parameters. The node's fingerprint includes the function's source.

    Raises:
        DefinitionError: an argument is annotated incorrectly; the message names the author's line.
    """
    location = author_location()
    hints = typing.get_type_hints(function, include_extras=True)
    defaults = {
        name: argument.default
        for name, argument in inspect.signature(function).parameters.items()
        if argument.default is not inspect.Parameter.empty
    }
    declared = {name: hint for name, hint in hints.items() if name != "return"}
    signature = read_signature(function.__name__, declared, defaults)
    undeclared = set(inspect.signature(function).parameters) - {
        *signature.inputs,
        *signature.outputs,
        *signature.parameters,
    }
    if undeclared:
        raise DefinitionError(
            f"{function.__name__}: annotate {', '.join(sorted(undeclared))} with Input[...], "
            f"Output[...] or Parameter[...]",
            str(location),
        )
    created: type[Component] = type(
        function.__name__,
        (Component,),
        {
            "__doc__": function.__doc__,
            "__module__": function.__module__,
            "function": staticmethod(function),
        },
    )
    created.signature = signature
    created.__signature__ = _python_signature(signature)  # type: ignore[attr-defined]
    return created


def _python_signature(signature: Signature) -> inspect.Signature:
    keyword = functools.partial(inspect.Parameter, kind=inspect.Parameter.KEYWORD_ONLY)
    empty = inspect.Parameter.empty
    arguments: Sequence[inspect.Parameter] = [
        *(
            keyword(name, default=None if spec.is_optional else empty, annotation=Channel)
            for name, spec in signature.inputs.items()
        ),
        *(
            keyword(name, default=empty if p.default is REQUIRED else p.default, annotation=p.type)
            for name, p in signature.parameters.items()
        ),
    ]
    return inspect.Signature(arguments)


_open: ContextVar[list[Component] | None] = ContextVar("open_pipeline", default=None)


@contextlib.contextmanager
def collecting() -> Iterator[list[Component]]:
    """Collects, in order, the components that are created inside the block."""
    components: list[Component] = []
    token = _open.set(components)
    try:
        yield components
    finally:
        _open.reset(token)


def _register(component: Component) -> None:
    """Adds a component to the pipeline that is being built, if any."""
    components = _open.get()
    if components is not None:
        components.append(component)
