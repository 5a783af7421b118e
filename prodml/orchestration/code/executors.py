"""Loads a node's executor, calls its driver, and decodes its parameters."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prodml.artifacts import Artifact
from prodml.compiler.spec import NodeSpec
from prodml.dsl import references
from prodml.dsl.executor import CachedResult, CacheVerdict, DriverResult, ExecutorContext
from prodml.dsl.parameter_types import described_type
from prodml.dsl.parameters import decode
from prodml.dsl.user_code import user_code
from prodml.errors import DefinitionError, UserCodeError

Execute = Callable[[ExecutorContext], None]


def load_executor(node: NodeSpec) -> Execute:
    """Loads the function that executes a node, and the libraries that it needs.

    Raises:
        DefinitionError: the component has no `executor.py` with `execute`.
    """
    if node.is_function:
        return _calling(references.load(node.component).function, node)
    module = references.neighbour(node.component, "executor")
    execute: Execute | None = getattr(module, "execute", None)
    if execute is None:
        raise DefinitionError(
            f"component {node.component} has no executor.py beside it with "
            f"execute(context: ExecutorContext) -> None",
            node.location,
        )
    return execute


def drive(node: NodeSpec) -> DriverResult | None:
    """Calls `resolve` of the component's driver; None if the component has no such function.

    Raises:
        NodeError: the driver failed; its exception is chained.
    """
    resolve = _driver_function(node, "resolve")
    if resolve is None:
        return None
    result = resolve(parameters_of(node))
    if not isinstance(result, DriverResult) or not isinstance(result.fingerprint, str):
        raise _wrong_result(node, "resolve must return a DriverResult with a str as fingerprint")
    return result


def judge_cached(
    pipeline: str, node: NodeSpec, outputs: Mapping[str, Sequence[Artifact]]
) -> CacheVerdict:
    """Calls `judge_cached` of the component's driver: is the cached result still current?

    Raises:
        NodeError: the driver failed; its exception is chained.
    """
    judge = _driver_function(node, "judge_cached")
    if judge is None:
        return CacheVerdict()
    verdict = judge(CachedResult(pipeline, node.id, parameters_of(node), outputs))
    if not isinstance(verdict, CacheVerdict):
        raise _wrong_result(node, "judge_cached must return a CacheVerdict")
    return verdict


def _wrong_result(node: NodeSpec, rule: str) -> UserCodeError:
    own = references.source_file(node.component).path
    driver = os.path.join(os.path.dirname(own), "driver.py")
    return UserCodeError(f"the driver of {node.id} is wrong: {driver}: {rule}")


def _driver_function(node: NodeSpec, name: str) -> Callable[..., Any] | None:
    """A function of the component's driver, wrapped so that errors name the driver's line."""
    module = None if node.is_function else references.neighbour(node.component, "driver")
    if module is None:
        return None
    function: Callable[..., Any] | None = getattr(module, name, None)
    if function is None:
        return None
    root = os.path.dirname(references.source_file(node.component).path)

    def called(argument: Any) -> Any:
        with user_code(root, f"the driver of {node.id} failed"):
            return function(argument)

    return called


def parameters_of(node: NodeSpec) -> dict[str, Any]:
    """A node's parameters by name, decoded to the types that its component declares."""
    return {
        parameter.name: None
        if parameter.value is None
        else decode(described_type(parameter.type), parameter.value)
        for parameter in node.parameters
    }


def _calling(function: Callable[..., None], node: NodeSpec) -> Execute:
    root = references.source_file(node.component).root

    def execute(context: ExecutorContext) -> None:
        inputs: Mapping[str, Any] = {
            key: artifacts[0] if artifacts else None for key, artifacts in context.inputs.items()
        }
        with user_code(root, f"component function {function.__name__} failed"):
            function(**inputs, **context.outputs, **context.parameters)

    return execute
