"""Setting and resetting the baseline."""

from pathlib import Path

import pytest

from prodml.errors import NotFoundError
from prodml.metadata.reading import LineageReader
from prodml.metadata.run_writing import RunWriter
from prodml.metadata.store import Store
from prodml.releases.baseline import reset_baseline, set_baseline


def test_a_misspelt_pipeline_is_an_error_and_records_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "metadata.db"))
    RunWriter(store).begin_run("flights", "run-1", "{}")
    with pytest.raises(NotFoundError, match="there is no pipeline 'flight'; pipelines: flights"):
        reset_baseline(store, "flight", "ada", "enough")
    with pytest.raises(NotFoundError, match="has no live model 7"):
        set_baseline(store, "flight", 7, "ada", "better")
    assert LineageReader(store).pipelines() == ["flights"]
