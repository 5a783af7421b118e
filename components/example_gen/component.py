"""Declaration that every file-based ExampleGen shares."""

from __future__ import annotations

from typing import Literal

from prodml.artifacts import Examples
from prodml.components.example_gen.config import Input, Output, RangeConfig
from prodml.dsl import signature
from prodml.dsl.component import Component
from prodml.dsl.parameters import DataPath
from prodml.dsl.signature import Parameter


class FileBasedExampleGen(Component):
    """Reads files and splits their rows.

    Args:
        input_base: directory of the input files, or its URL, such as `s3://bucket/flights`.
        input_config: file patterns to read; by default all files directly in `input_base`.
        output_config: splits to write; by default two thirds `train` and one third `eval`, by a
            stable hash of each row's content.
        range_config: spans to read; by default the latest span.
        payload_format: storage format of the examples, FORMAT_PARQUET or FORMAT_TF_EXAMPLE.
    """

    execution_type = "tfx.components.example_gen.component.FileBasedExampleGen"

    input_base: Parameter[DataPath]
    input_config: Parameter[Input | None] = None
    output_config: Parameter[Output | None] = None
    range_config: Parameter[RangeConfig | None] = None
    payload_format: Parameter[Literal["FORMAT_PARQUET", "FORMAT_TF_EXAMPLE"]] = "FORMAT_PARQUET"
    examples: signature.Output[Examples]
