"""Loads the pipeline in a Python file, and compiles it with the parameters of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prodml.compiler.compile import compile_pipeline
from prodml.compiler.spec import PipelineSpec
from prodml.dsl.pipeline import PipelineDefinition
from prodml.dsl.user_code import load_module
from prodml.errors import DefinitionError, ParameterError, RequestError, UserCodeError
from prodml.orchestration.code.module_roots import require_inside, require_modules_inside


def load_spec(
    path: str,
    values: Mapping[str, Any],
    params: Sequence[str] = (),
    *,
    module_roots: Sequence[str],
) -> PipelineSpec:
    """Compiles the one pipeline that a file defines.

    Args:
        path: the file.
        values: runtime parameters, such as those of the configuration.
        params: `name=value` strings, which override `values`.
        module_roots: directories that must contain the file and all modules that it names; empty
            to allow any directory.

    Raises:
        RequestError: the file, the pipeline or a parameter is invalid.
    """
    require_inside(module_roots, path, "pipeline file")
    try:
        definition = _only_pipeline(path)
        spec = compile_pipeline(definition.build(_with_params(definition, values, params)))
    except UserCodeError as error:
        raise RequestError(str(error)) from error
    require_modules_inside(module_roots, spec)
    return spec


def _only_pipeline(path: str) -> PipelineDefinition:
    module = load_module(path)
    found = [v for v in vars(module).values() if isinstance(v, PipelineDefinition)]
    # Imported pipelines are ignored if the file defines one itself.
    found = [d for d in found if d.location.file == module.__file__] or found
    if len(found) != 1:
        names = ", ".join(definition.name for definition in found) or "none"
        raise DefinitionError(f"{path} must define one @pipeline; it has: {names}")
    return found[0]


def _with_params(
    definition: PipelineDefinition, values: Mapping[str, Any], params: Sequence[str]
) -> dict[str, Any]:
    given = dict(values)
    for text in params:
        name, equals, value = text.partition("=")
        if not equals:
            raise ParameterError(f"--param {text!r}: write name=value")
        given[name] = definition.parse(name, value)
    return given
