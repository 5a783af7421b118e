"""Errors of a store after a lost response, and stores that are read-only."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from ml_metadata import errors as mlmd_errors

from prodml.errors import FencedError, MetadataError, MetadataUnavailableError, StorageError
from prodml.metadata.reading import LineageReader
from prodml.metadata.run_writing import RunWriter
from prodml.metadata.store import Store

LOST = mlmd_errors.UnavailableError("connection reset")


class Answers:
    """A write that raises these errors, one per call."""

    def __init__(self, *errors: Exception) -> None:
        self._left = list(errors)

    def __call__(self, store: Any) -> None:
        raise self._left.pop(0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "metadata.db"))


def test_an_error_after_a_lost_response_has_an_unknown_outcome(store: Store) -> None:
    refused = mlmd_errors.InternalError("permission denied for table Execution")
    with pytest.raises(
        MetadataUnavailableError, match="may or may not be recorded.*permission denied"
    ):
        store.write("cannot publish execution 7", Answers(LOST, refused))


def test_a_rejected_login_after_a_lost_response_has_an_unknown_outcome(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(config: object) -> None:
        raise RuntimeError("file is not a database")

    monkeypatch.setattr("ml_metadata.metadata_store.MetadataStore", refuse)
    with pytest.raises(
        MetadataUnavailableError, match="may or may not be recorded.*not a database"
    ):
        store.write("cannot publish execution 7", Answers(LOST))


def test_an_error_without_a_lost_response_has_a_known_outcome(store: Store) -> None:
    for errors in ((), (mlmd_errors.AbortedError("database is locked"),)):
        refused = mlmd_errors.InternalError("permission denied for table Execution")
        with pytest.raises(MetadataError, match="permission denied") as raised:
            store.write("cannot publish execution 7", Answers(*errors, refused))
        assert not isinstance(raised.value, MetadataUnavailableError)


def test_the_error_of_a_retried_write_is_raised_unchanged(store: Store) -> None:
    with pytest.raises(FencedError):
        store.write("cannot publish execution 7", Answers(LOST, FencedError("closed")))


READ = """
import sys
from prodml.errors import MetadataError
from prodml.metadata.reading import LineageReader
from prodml.metadata.run_writing import RunWriter
from prodml.metadata.store import Store
store = Store(sys.argv[1])
print([run.run_id for run in LineageReader(store).runs(5)])
try:
    RunWriter(store).begin_run("p", "run-2", "{}")
except MetadataError as error:
    print(error)
"""


def without_privileges(script: str, *arguments: str) -> str:
    """The output of a script that runs without the privileges of root."""
    drop = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    ran = subprocess.run(
        [*(drop if os.geteuid() == 0 else ()), sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_read_only_store_can_be_read(store: Store, tmp_path: Path) -> None:
    RunWriter(store).begin_run("p", "run-1", "{}")
    for path in tmp_path.iterdir():
        path.chmod(0o444)
    tmp_path.chmod(0o555)
    output = without_privileges(READ, str(tmp_path / "metadata.db"))
    assert "['run-1']" in output
    assert "metadata.db.lock: permission denied; check the owner and mode" in output
    assert [run.run_id for run in LineageReader(store).runs(5)] == ["run-1"]


def test_a_store_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "metadata.db.lock").mkdir()
    with pytest.raises(StorageError, match=r"metadata.db.lock: Is a directory; check the path"):
        Store(str(tmp_path / "metadata.db"))


def test_an_interrupt_just_after_the_lock_is_acquired_releases_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acquire_and_interrupt(lock: FileLock) -> None:
        acquire(lock)
        raise KeyboardInterrupt

    acquire = FileLock.acquire
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(FileLock, "acquire", acquire_and_interrupt)
        store.write("cannot record", lambda opened: None)
    Store(str(tmp_path / "metadata.db")).write("cannot record", lambda opened: None)


def test_a_lock_whose_release_is_interrupted_is_released(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt_first(lock: FileLock) -> None:
        monkeypatch.setattr(FileLock, "release", release)
        raise KeyboardInterrupt

    release = FileLock.release
    monkeypatch.setattr(FileLock, "release", interrupt_first)
    with pytest.raises(KeyboardInterrupt):
        store.write("cannot record", lambda opened: None)
    Store(str(tmp_path / "metadata.db")).write("cannot record", lambda opened: None)
