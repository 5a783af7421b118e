"""The layout of an Examples artifact: payload format, files of a split, row counts."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Mapping, Sequence
from enum import StrEnum

from prodml.artifacts import Examples, split_directory
from prodml.errors import InputDataError

PAYLOAD_FORMAT = "payload_format"
FILE_FORMAT = "file_format"
ROW_COUNTS = "row_counts"
EMPTY_COLUMNS = "empty_columns"


class PayloadFormat(StrEnum):
    """Storage format of the rows; the values are TFX's."""

    PARQUET = "FORMAT_PARQUET"
    TF_EXAMPLE = "FORMAT_TF_EXAMPLE"

    @property
    def file_format(self) -> str:
        """The value of the artifact's `file_format` property."""
        return "parquet" if self is PayloadFormat.PARQUET else "tfrecords_gzip"

    @property
    def suffix(self) -> str:
        """The suffix of the data files' names."""
        return ".parquet" if self is PayloadFormat.PARQUET else ".gz"


def payload_format(examples: Examples) -> PayloadFormat:
    """The payload format of an artifact; tf.Example if it is not recorded, as in TFX.

    Raises:
        InputDataError: prodml cannot read the format.
    """
    value = examples.custom_properties.get(PAYLOAD_FORMAT, PayloadFormat.TF_EXAMPLE)
    try:
        return PayloadFormat(str(value))
    except ValueError:
        known = ", ".join(PayloadFormat)
        raise InputDataError(
            f"{examples.uri}: unsupported payload format {value!r}; supported: {known}"
        ) from None


def split_files(examples: Examples, split: str) -> list[str]:
    """The data files of a split, sorted.

    Raises:
        InputDataError: the split has no files.
    """
    directory = split_directory(examples.uri, split)
    files = sorted(glob.glob(os.path.join(glob.escape(directory), "*")))
    if not files:
        raise InputDataError(
            f"no files in {directory}; the artifact has the splits {examples.split_names}"
        )
    return files


def row_count(examples: Examples, split: str) -> int:
    """The number of rows of a split, as counted when the split was written.

    Raises:
        InputDataError: the artifact has no row count for the split.
    """
    counts: Mapping[str, int] = json.loads(str(examples.custom_properties.get(ROW_COUNTS, "{}")))
    if split not in counts:
        raise InputDataError(
            f"{examples.uri} has no row count for split {split!r}; set the custom property "
            f"{ROW_COUNTS}, or ingest the examples with an ExampleGen"
        )
    return int(counts[split])


def note_empty_columns(examples: Examples, names: Sequence[str]) -> None:
    """Records the columns that were not stored because they are empty in every row."""
    if names:
        examples.custom_properties[EMPTY_COLUMNS] = json.dumps(list(names))


def empty_columns(examples: Examples) -> list[str]:
    """The columns that were not stored because they are empty in every row."""
    return list(json.loads(str(examples.custom_properties.get(EMPTY_COLUMNS, "[]"))))


def describe_examples(examples: Examples, payload: PayloadFormat, rows: Mapping[str, int]) -> None:
    """Sets the properties that describe the files of an Examples artifact.

    Args:
        examples: the artifact.
        payload: format of the files.
        rows: numbers of rows by split, in the order of the splits.
    """
    examples.split_names = rows
    examples.custom_properties.update(
        {
            PAYLOAD_FORMAT: str(payload),
            FILE_FORMAT: payload.file_format,
            ROW_COUNTS: json.dumps(dict(rows)),
        }
    )
