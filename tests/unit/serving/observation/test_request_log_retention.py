import os
from pathlib import Path

from prodml.serving.observation.request_log_retention import delete_old_logs

DAY, NOW = 86_400.0, 1_800_000_000.0


def _log(directory: Path, day: int, *, size: int = 10, name: str = "") -> str:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / (name or f"log-202601{day:02}T000000.000000Z-000001.tfrecord")
    path.write_bytes(b"x" * size)
    written = NOW - (31 - day) * DAY
    os.utime(path, (written, written))
    return str(path)


def _left(directory: Path) -> set[str]:
    return {str(path) for path in directory.rglob("*") if path.is_file()}


def test_logs_that_are_too_old_are_deleted_in_every_directory(tmp_path):
    old = [_log(tmp_path, 1), _log(tmp_path / "flights", 2)]
    young = [_log(tmp_path, 30), _log(tmp_path / "flights", 29)]
    deleted = delete_old_logs(str(tmp_path), keep_seconds=7 * DAY, keep_bytes=10**9, now=NOW)
    assert sorted(deleted) == sorted(old)
    assert _left(tmp_path) == set(young)


def test_the_oldest_logs_are_deleted_until_the_rest_is_small_enough(tmp_path):
    logs = [_log(tmp_path, day, size=100) for day in range(1, 11)]
    delete_old_logs(str(tmp_path), keep_seconds=365 * DAY, keep_bytes=350, now=NOW)
    assert _left(tmp_path) == set(logs[-3:])


def test_other_files_and_files_being_written_are_not_deleted(tmp_path):
    others = {
        _log(tmp_path, 1, name="saved_model.pb"),
        _log(tmp_path, 1, name="log.tfrecord"),
        _log(tmp_path, 1, name=".log-20260101T000000.000000Z-000001.tfrecord.partial"),
    }
    assert delete_old_logs(str(tmp_path), keep_seconds=DAY, keep_bytes=0, now=NOW) == []
    assert _left(tmp_path) == others
