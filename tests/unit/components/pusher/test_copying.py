"""Copies of directories that cannot be completed."""

from pathlib import Path

import pytest

from prodml.components.pusher.copying import copy_synced


def test_a_failed_copy_leaves_no_directory_open(tmp_path: Path) -> None:
    nested = tmp_path / "source" / "nested"
    nested.mkdir(parents=True)
    (nested / "dangling").symlink_to("absent")

    # Python warns about a directory that was left open, and in tests a warning is an error.
    with pytest.raises(FileNotFoundError):
        copy_synced(str(tmp_path / "source"), str(tmp_path / "target"))
