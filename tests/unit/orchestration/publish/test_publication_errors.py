"""Publication under every error that a filesystem can give, at every file operation."""

import builtins
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from prodml.artifacts import Model, Schema
from prodml.errors import StorageError, causes
from prodml.orchestration.launch.failures import was_interrupted
from prodml.orchestration.launch.retries import is_transient
from prodml.orchestration.publish.publication import Staging, discard, publish, remove_unrecorded

OPERATIONS = (
    (builtins, "open"), (os, "open"), (os, "mkdir"), (os, "rename"), (os, "fsync"), (os, "close"),
    (os, "stat"), (os, "lstat"), (os, "scandir"), (os, "unlink"), (os, "rmdir"), (os, "readlink"),
)  # fmt: skip


class FailingFiles:
    """Counts file operations, and has one of them fail.

    Args:
        fail_at: the number of the operation that fails, from 1; 0 for none.
        code: its error number.
    """

    def __init__(self, fail_at: int, code: int) -> None:
        self.count = 0
        self._fail_at = fail_at
        self._code = code

    @contextmanager
    def installed(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for owner, name in OPERATIONS:
                patch.setattr(owner, name, self._wrapped(name, getattr(owner, name)))
            yield

    def _wrapped(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            self.count += 1
            if self.count == self._fail_at:
                if name == "close":
                    original(*arguments)
                raise OSError(self._code, os.strerror(self._code), "injected")
            # Thousands of times: that names reach the disk is not what is tried here.
            return None if name == "fsync" else original(*arguments, **named)

        return wrapped


def staged(root: Path) -> Staging:
    """Two outputs, as an executor leaves them, and one of another execution in place."""
    other = root / "Node" / "model" / "6"
    other.mkdir(parents=True)
    (other / "weights").write_text("of another execution")
    directory = root / "Node" / ".staging-7"
    outputs = {
        key: kind(uri=str(directory / key), final_uri=str(root / "Node" / key / "7"))
        for key, kind in (("model", Model), ("schema", Schema))
    }
    for artifact in outputs.values():
        Path(artifact.uri, "inner").mkdir(parents=True)
        Path(artifact.uri, "inner", "file").write_text("content")
    return Staging(str(directory), "run:Node:1", outputs, str(directory / ".tmp"))


def count_operations(root: Path) -> int:
    files = FailingFiles(0, 0)
    with files.installed():
        publish(staged(root))
    return files.count


def test_after_any_failure_all_outputs_are_published_or_none(tmp_path: Path) -> None:
    number_of_operations = count_operations(tmp_path / "counted")
    assert number_of_operations > 30
    for code in errno.errorcode:
        for fail_at in range(1, number_of_operations + 1):
            root = tmp_path / f"{code}-{fail_at}"
            staging = staged(root)
            case = f"{errno.errorcode[code]} at operation {fail_at}"
            try:
                with FailingFiles(fail_at, code).installed():
                    publish(staging)
            except StorageError as error:
                chain = list(causes(error))
                assert isinstance(chain[-1], OSError) and len(chain) == 2, case
                assert not was_interrupted(error), case
                assert is_transient(error) == is_transient(chain[-1]), case
                in_place = [Path(a.final_uri) for a in staging.outputs.values()]
                assert not any(path.exists() for path in in_place), case
            else:
                for artifact in staging.outputs.values():
                    assert Path(artifact.final_uri, "inner", "file").exists(), case
            assert (root / "Node/model/6/weights").read_text() == "of another execution", case
            discard(staging)


def test_an_interrupt_after_the_rename_leaves_only_what_its_execution_can_remove(
    tmp_path: Path,
) -> None:
    staging = staged(tmp_path)
    publish(staging)
    (place,) = {a.final_uri for key, a in staging.outputs.items() if key == "model"}
    remove_unrecorded(place, "another:Node:1")
    assert Path(place).exists()
    remove_unrecorded(place, "run:Node:1")
    assert not Path(place).exists()
    remove_unrecorded(str(tmp_path / "Node/model/6"), "run:Node:1")
    assert (tmp_path / "Node/model/6").exists()


@pytest.mark.parametrize("content", [{}, {"weights": "of another store"}])
def test_an_existing_directory_is_rejected_and_not_changed(
    tmp_path: Path, content: dict[str, str]
) -> None:
    staging = staged(tmp_path)
    taken = Path(staging.outputs["schema"].final_uri)
    taken.mkdir(parents=True)
    for name, text in content.items():
        (taken / name).write_text(text)
    with pytest.raises(StorageError, match="exists already, but is not in the metadata store"):
        publish(staging)
    assert {path.name: path.read_text() for path in taken.iterdir()} == content
    assert not Path(staging.outputs["model"].final_uri).exists()


def test_names_of_new_directories_are_on_the_disk_before_publication_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging = staged(tmp_path)
    synced: list[str] = []
    original = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    publish(staging)
    # `schema` is new in `Node`, and `7` in both.
    for directory in ("Node", "Node/schema", "Node/model"):
        assert str(tmp_path / directory) in synced
