"""Copies of a directory that survive a crash once they are complete."""

from __future__ import annotations

import os
import shutil

from prodml.storage.syncing import sync


def copy_synced(source: str, target: str) -> None:
    """Copies a directory recursively, and syncs every file and directory.

    Unlike `shutil.copytree`, this function raises the first OSError unchanged, with its errno:
    copytree continues when the disk is full, and then raises one error without an errno.

    Args:
        source: directory to copy; symbolic links in it are followed.
        target: directory to copy to; may exist.
    """
    os.makedirs(target, exist_ok=True)
    with os.scandir(source) as entries:
        for entry in entries:
            copied = os.path.join(target, entry.name)
            if entry.is_dir():
                copy_synced(entry.path, copied)
            else:
                shutil.copyfile(entry.path, copied)
                sync(copied)
    sync(target)
