"""Whether the holder of a lease is alive, with real processes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prodml.metadata.records import LeaseRecord, ProcessRecord
from prodml.orchestration.ownership.liveness import SILENCE_SECONDS, is_held, new_holder

HOLDER = """
import json, sys, dataclasses, os
from prodml.orchestration.ownership.liveness import new_holder
print(json.dumps(dataclasses.asdict(new_holder())), flush=True)
if "fork" in sys.argv and os.fork() == 0:
    os.close(1)
    sys.stdin.read()
    os._exit(0)
sys.stdin.read()
"""


def lease(holder: ProcessRecord, age_seconds: float = 0.0, ended: int = 0) -> LeaseRecord:
    heartbeat = int((time.time() - age_seconds) * 1000)
    return LeaseRecord(1, "p", 1, "run", holder, heartbeat, ended)


class Holder:
    """Another process that could hold a lease."""

    def __init__(self, *arguments: str) -> None:
        import json

        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.record = ProcessRecord(**json.loads(self.process.stdout.readline()))

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


LONG_AGO = SILENCE_SECONDS + 1


def test_a_fresh_heartbeat_keeps_a_lease_on_a_clone_with_the_same_host_name() -> None:
    us = new_holder()
    boot, _, namespace = us.machine.partition("/")
    for machine in (f"other-boot/{namespace}", f"{boot}/1", ""):
        clone = ProcessRecord(us.host, machine, us.pid, "token")
        assert is_held(lease(clone))
        assert not is_held(lease(clone, LONG_AGO))


def test_a_process_of_a_copied_machine_is_not_seen_as_dead() -> None:
    us = new_holder()
    # A copied virtual machine has the same host name and boot id, but not the lock file.
    elsewhere = ProcessRecord(us.host, us.machine, 999_999, "never-here")
    assert is_held(lease(elsewhere))
    assert not is_held(lease(elsewhere, LONG_AGO))


def test_a_process_on_this_machine_is_alive_until_it_ends_even_without_heartbeats() -> None:
    holder = Holder()
    try:
        assert is_held(lease(holder.record)) and is_held(lease(holder.record, LONG_AGO))
        os.kill(holder.process.pid, signal.SIGSTOP)
        assert is_held(lease(holder.record, LONG_AGO))
    finally:
        holder.kill()
    assert not is_held(lease(holder.record))


def test_an_orphaned_child_does_not_keep_a_lease() -> None:
    holder = Holder("fork")
    os.kill(holder.process.pid, signal.SIGKILL)
    holder.process.wait()
    assert not is_held(lease(holder.record))
    # The child ends when its standard input is closed.
    holder.process.communicate()


def test_checking_a_lease_of_this_process_does_not_release_it() -> None:
    ours = lease(new_holder(), LONG_AGO)
    assert is_held(ours) and is_held(ours)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(is_held, [ours, ours]) == [True, True]


def test_a_released_lease_is_not_held() -> None:
    assert not is_held(lease(new_holder(), ended=1))


def test_without_a_temporary_directory_heartbeats_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = Holder()
    holder.kill()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    assert is_held(lease(holder.record))
    assert not is_held(lease(holder.record, LONG_AGO))


OLD_SECONDS = 30 * 24 * 3600


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary directory of this test's own, for this process and its children."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def old_file(path: Path) -> Path:
    path.write_text("precious")
    long_ago = time.time() - OLD_SECONDS
    os.utime(path, (long_ago, long_ago))
    return path


def test_a_link_in_place_of_the_lock_directory_is_not_followed(temporary: Path) -> None:
    home = temporary / "home"
    home.mkdir()
    thesis = old_file(home / "thesis.lock")
    (temporary / f"prodml-{os.geteuid()}").symlink_to(home)
    holder = Holder()
    try:
        assert [thesis] == list(home.iterdir())
        assert is_held(lease(holder.record)) and not is_held(lease(holder.record, LONG_AGO))
    finally:
        holder.kill()
    assert is_held(lease(holder.record)), "only its heartbeat can say that it ended"


def test_only_old_lock_files_are_removed_from_the_lock_directory(temporary: Path) -> None:
    directory = temporary / f"prodml-{os.geteuid()}"
    directory.mkdir(mode=0o700)
    notes, forgotten = old_file(directory / "notes.txt"), old_file(directory / "gone.lock")
    (directory / "folder.lock").mkdir()
    Holder().kill()
    assert notes.exists() and not forgotten.exists()


def test_a_lock_directory_that_others_can_write_to_is_ignored(temporary: Path) -> None:
    directory = temporary / f"prodml-{os.geteuid()}"
    directory.mkdir()
    directory.chmod(0o777)
    us = new_holder()
    (directory / "token.lock").touch()
    holder = ProcessRecord(us.host, us.machine, 999_999, "token")
    assert is_held(lease(holder))
    assert not is_held(lease(holder, LONG_AGO))
