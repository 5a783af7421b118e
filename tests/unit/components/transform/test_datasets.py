"""The splits and artifacts that Transform reads."""

from pathlib import Path

import pyarrow as pa
import pytest

from prodml.artifacts import Examples
from prodml.components.transform.component import SplitsConfig
from prodml.components.transform.datasets import plan_datasets
from prodml.data.examples_layout import PayloadFormat
from prodml.data.writers import ExamplesWriter
from prodml.errors import InputDataError


def test_a_split_that_only_a_later_artifact_has_is_an_error(tmp_path: Path) -> None:
    spans = [_span(tmp_path / "1", "train"), _span(tmp_path / "2", "train", "test")]
    with pytest.raises(InputDataError, match=r"the examples at .*/1 have no split 'test'"):
        plan_datasets(spans, SplitsConfig())
    only_train = plan_datasets(spans, SplitsConfig(transform=("train",)))
    assert only_train.splits == ("train",)


def _span(directory: Path, *splits: str) -> Examples:
    directory.mkdir()
    examples = Examples(uri=str(directory))
    with ExamplesWriter(examples, splits, PayloadFormat.PARQUET) as writer:
        for split in splits:
            writer.write(split, pa.RecordBatch.from_pydict({"hour": [1]}))
    return examples
