"""Versions of pushed models always ascend, and appear complete."""

import errno
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prodml.components.pusher.versions import PUSH_FILE, _staging, push_version
from prodml.storage.model_versions import versions_on_disk

_PUSH_TWENTY = """
import os, sys
from prodml.components.pusher.versions import push_version
print(*(push_version(sys.argv[1], sys.argv[2], f"{os.getpid()}/{n}") for n in range(20)))
"""


pushes = itertools.count()


def push(source: str, base: Path) -> int:
    """The origin of a new push."""
    return push_version(source, str(base), f"run/{next(pushes)}")


@pytest.fixture
def model(tmp_path: Path) -> str:
    directory = tmp_path / "model"
    (directory / "variables").mkdir(parents=True)
    (directory / "saved_model.pb").write_bytes(b"graph")
    (directory / "variables" / "variables.index").write_bytes(b"index")
    return str(directory)


def test_the_version_is_the_unix_time(model: str, tmp_path: Path) -> None:
    before = int(time.time())
    assert before <= push(model, tmp_path / "base") <= int(time.time())


def test_pushes_within_one_second_get_ascending_versions(model: str, tmp_path: Path) -> None:
    pushed = [push(model, tmp_path / "base") for _ in range(5)]
    assert pushed == sorted(set(pushed))
    assert sorted(versions_on_disk(str(tmp_path / "base"))) == pushed


@settings(max_examples=25, deadline=None)
@given(
    offsets=st.lists(st.integers(-(10**6), 10**6), max_size=5),
    others=st.lists(st.sampled_from([".lock", "README", "v7", "12a", "-3", "²"]), max_size=3),
    pushes=st.integers(1, 4),
)
def test_every_version_is_greater_than_all_before_it(
    offsets: list[int], others: list[str], pushes: int
) -> None:
    with tempfile.TemporaryDirectory() as root:
        source, base = Path(root, "model"), Path(root, "base")
        source.mkdir()
        (source / "saved_model.pb").write_bytes(b"graph")
        now = int(time.time())
        for name in [*(str(now + offset) for offset in offsets), *others]:
            (base / name).mkdir(parents=True, exist_ok=True)
        highest = max((now + offset for offset in offsets), default=0)
        for _ in range(pushes):
            version = push(str(source), base)
            assert version > highest
            highest = version


def test_two_processes_pushing_at_once_never_share_a_version(model: str, tmp_path: Path) -> None:
    base = str(tmp_path / "base")
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _PUSH_TWENTY, model, base], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    pushed = [[int(version) for version in (p.communicate()[0]).split()] for p in running]
    assert all(own == sorted(own) and len(own) == 20 for own in pushed)
    assert len({version for own in pushed for version in own}) == 40
    assert all(
        _files(Path(base, str(version))) == _files(Path(model))
        for version in versions_on_disk(base)
    )


def test_a_full_disk_leaves_no_version(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "base"

    def full(source: str, target: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        push(model, base)
    assert [path.name for path in base.iterdir()] == [".prodml-push.lock"]


def _files(root: Path) -> dict[str, bytes]:
    files = {str(f.relative_to(root)): f.read_bytes() for f in root.rglob("*") if f.is_file()}
    return {name: content for name, content in files.items() if name != PUSH_FILE}


def test_a_repeated_push_returns_its_first_version(model: str, tmp_path: Path) -> None:
    base = tmp_path / "base"
    first = push_version(model, str(base), "run/Pusher")
    assert push_version(model, str(base), "run/Pusher") == first
    assert push_version(model, str(base), "other/Pusher") > first
    assert len(versions_on_disk(str(base))) == 2


@pytest.mark.parametrize("what", ["the source changed", "the version is damaged"])
def test_a_push_of_other_content_creates_another_version(
    model: str, tmp_path: Path, what: str
) -> None:
    base = tmp_path / "base"
    first = push_version(model, str(base), "run/Pusher")
    changed = Path(model) if what == "the source changed" else base / str(first)
    (changed / "saved_model.pb").write_bytes(b"other")
    assert push_version(model, str(base), "run/Pusher") > first


def test_staging_of_a_killed_push_is_removed_and_that_of_a_running_push_is_kept(
    model: str, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    (base / ".staging-dead").mkdir(parents=True)
    with _staging(str(base)) as alive:
        push(model, base)
        assert os.path.isdir(alive)
    assert [p.name for p in base.iterdir() if p.name.startswith(".staging")] == []
