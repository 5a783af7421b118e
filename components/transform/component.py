"""Declaration of Transform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from prodml.artifacts import (
    ExampleAnomalies,
    Examples,
    ExampleStatistics,
    Schema,
    TransformCache,
    TransformGraph,
)
from prodml.dsl.component import Component
from prodml.dsl.parameters import FunctionPath, ModulePath
from prodml.dsl.references import file_of_function
from prodml.dsl.signature import Input, Output, Parameter


@dataclass(frozen=True)
class SplitsConfig:
    """Splits to analyze and splits to transform.

    Attributes:
        analyze: splits that analyzers, such as means and vocabularies, are computed on.
        transform: splits to transform; all splits by default.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    analyze: tuple[str, ...] = ("train",)
    transform: tuple[str, ...] | None = None


class Transform(Component):
    """Traces a user's `preprocessing_fn` with TensorFlow Transform, and transforms the examples.

    `preprocessing_fn(inputs)` or `preprocessing_fn(inputs, custom_config)` takes and returns a
    dict of tensors by feature name, as in TFX.

    Args:
        examples: the examples; several artifacts, such as spans, are processed as one data set.
        schema: schema of the examples; features that it does not declare are not read.
        analyzer_cache: the analyzer cache of an earlier run, usually from a Resolver for the
            latest TransformCache. Spans in the cache are not analyzed again.
        module_file: path of the Python file that defines `preprocessing_fn`.
        preprocessing_fn: import path of the function, as `package.module.function`, instead of a
            file.
        splits_config: splits to analyze and splits to transform.
        materialize: whether to write the output `transformed_examples`.
        disable_analyzer_cache: whether to ignore the cache; the output `updated_analyzer_cache`
            is then omitted.
        force_tf_compat_v1: whether to trace `preprocessing_fn` as TensorFlow 1 code.
        custom_config: settings for the function, passed as its argument `custom_config`.
        disable_statistics: omits the statistics before the transformation ("pre_transform"), those
            after it together with the anomalies ("post_transform"), or both (True).

    Raises:
        DefinitionError: neither or both of module_file and preprocessing_fn are set, or
            preprocessing_fn is not found.
    """

    execution_type = "tfx.components.transform.component.Transform"

    examples: Input[Examples]
    schema: Input[Schema]
    analyzer_cache: Input[TransformCache] | None = None
    module_file: Parameter[ModulePath | None] = None
    preprocessing_fn: Parameter[FunctionPath | None] = None
    splits_config: Parameter[SplitsConfig] = SplitsConfig()
    materialize: Parameter[bool] = True
    disable_analyzer_cache: Parameter[bool] = False
    force_tf_compat_v1: Parameter[bool] = False
    custom_config: Parameter[dict[str, Any] | None] = None
    disable_statistics: Parameter[bool | Literal["pre_transform", "post_transform"]] = False
    transform_graph: Output[TransformGraph]
    transformed_examples: Output[Examples]
    updated_analyzer_cache: Output[TransformCache]
    pre_transform_schema: Output[Schema]
    pre_transform_stats: Output[ExampleStatistics]
    post_transform_schema: Output[Schema]
    post_transform_stats: Output[ExampleStatistics]
    post_transform_anomalies: Output[ExampleAnomalies]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        module_file = self.parameters["module_file"]
        function = self.parameters["preprocessing_fn"]
        if (module_file is None) == (function is None):
            self._refuse("needs exactly one of module_file and preprocessing_fn")
        if function is not None:
            try:
                file_of_function(function)
            except ValueError as error:
                self._refuse(f"preprocessing_fn {error}")

    def omitted_outputs(self) -> Mapping[str, str]:
        omitted: dict[str, str] = {}
        if not self.parameters["materialize"]:
            omitted["transformed_examples"] = "materialize=False"
        if self.parameters["disable_analyzer_cache"]:
            omitted["updated_analyzer_cache"] = "disable_analyzer_cache=True"
        disabled = self.parameters["disable_statistics"]
        why = f"disable_statistics={disabled!r}"
        if disabled in (True, "pre_transform"):
            omitted["pre_transform_stats"] = why
        if disabled in (True, "post_transform"):
            omitted |= {"post_transform_stats": why, "post_transform_anomalies": why}
        return omitted
