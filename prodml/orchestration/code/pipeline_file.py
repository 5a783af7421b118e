"""The pipeline in a Python file, compiled with the parameters of one run."""

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
    """The spec of the one pipeline that a file defines.

    Args:
        path: the file.
        values: runtime parameters, such as those of the configuration.
        params: `name=value` texts, which override them.
        module_roots: directories that the file and all modules it names must lie in; where there
            are none, they may lie anywhere.

    Raises:
        RequestError: the file, the pipeline or a parameter is wrong.
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
    # Imported pipelines do not count beside one of the file's own.
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
