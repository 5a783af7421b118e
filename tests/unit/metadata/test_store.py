"""What a store says when the answer to a write is lost, and when its file may only be read."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ml_metadata import errors as mlmd_errors

from prodml.errors import FencedError, MetadataError, MetadataUnavailableError, StorageError
from prodml.metadata.reading import LineageReader
from prodml.metadata.store import Store
from prodml.metadata.writing import LineageWriter

LOST = mlmd_errors.UnavailableError("connection reset")


class Answers:
    """A write that meets these errors, one a call."""

    def __init__(self, *errors: Exception) -> None:
        self._left = list(errors)

    def __call__(self, store: Any) -> None:
        raise self._left.pop(0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "metadata.db"))


def test_a_refusal_after_a_lost_answer_leaves_open_what_was_recorded(store: Store) -> None:
    refused = mlmd_errors.InternalError("permission denied for table Execution")
    with pytest.raises(
        MetadataUnavailableError, match="may or may not be recorded.*permission denied"
    ):
        store.write("cannot publish execution 7", Answers(LOST, refused))


def test_a_refused_login_after_a_lost_answer_leaves_open_what_was_recorded(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(config: object) -> None:
        raise RuntimeError("file is not a database")

    monkeypatch.setattr("ml_metadata.metadata_store.MetadataStore", refuse)
    with pytest.raises(
        MetadataUnavailableError, match="may or may not be recorded.*not a database"
    ):
        store.write("cannot publish execution 7", Answers(LOST))


def test_a_refusal_without_a_lost_answer_is_definite(store: Store) -> None:
    for errors in ((), (mlmd_errors.AbortedError("database is locked"),)):
        refused = mlmd_errors.InternalError("permission denied for table Execution")
        with pytest.raises(MetadataError, match="permission denied") as raised:
            store.write("cannot publish execution 7", Answers(*errors, refused))
        assert not isinstance(raised.value, MetadataUnavailableError)


def test_what_a_repeated_write_finds_counts(store: Store) -> None:
    with pytest.raises(FencedError):
        store.write("cannot publish execution 7", Answers(LOST, FencedError("closed")))


READ = """
import sys
from prodml.errors import MetadataError
from prodml.metadata.reading import LineageReader
from prodml.metadata.store import Store
from prodml.metadata.writing import LineageWriter
store = Store(sys.argv[1])
print([run.run_id for run in LineageReader(store).runs(5)])
try:
    LineageWriter(store).begin_run("p", "run-2", "{}")
except MetadataError as error:
    print(error)
"""


def without_privileges(script: str, *arguments: str) -> str:
    """What a script prints; root, who may do everything, is deprived of that."""
    drop = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    ran = subprocess.run(
        [*(drop if os.geteuid() == 0 else ()), sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_store_that_may_only_be_read_is_read(store: Store, tmp_path: Path) -> None:
    LineageWriter(store).begin_run("p", "run-1", "{}")
    for path in tmp_path.iterdir():
        path.chmod(0o444)
    tmp_path.chmod(0o555)
    said = without_privileges(READ, str(tmp_path / "metadata.db"))
    assert "['run-1']" in said
    assert "metadata.db.lock: permission denied; check the owner and mode" in said
    assert [run.run_id for run in LineageReader(store).runs(5)] == ["run-1"]


def test_a_store_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "metadata.db.lock").mkdir()
    with pytest.raises(StorageError, match=r"metadata.db.lock: Is a directory; check the path"):
        Store(str(tmp_path / "metadata.db"))
