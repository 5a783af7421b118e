"""What every ExampleGen that reads files declares."""

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
        input_base: directory that holds the files, or its URL, such as `s3://bucket/flights`.
        input_config: which files; by default all that stand directly in it.
        output_config: how to split; by default two thirds `train` and one third `eval`, by a
            stable hash of each row's content.
        range_config: which spans; by default the latest one.
        payload_format: how examples are stored, FORMAT_PARQUET or FORMAT_TF_EXAMPLE.
    """

    execution_type = "tfx.components.example_gen.component.FileBasedExampleGen"

    input_base: Parameter[DataPath]
    input_config: Parameter[Input | None] = None
    output_config: Parameter[Output | None] = None
    range_config: Parameter[RangeConfig | None] = None
    payload_format: Parameter[Literal["FORMAT_PARQUET", "FORMAT_TF_EXAMPLE"]] = "FORMAT_PARQUET"
    examples: signature.Output[Examples]
