"""Local input files of an ExampleGen; files in an object store are downloaded."""

from __future__ import annotations

import os

from prodml.dsl.executor import ExecutorContext
from prodml.storage import objects
from prodml.storage.locations import is_url


def local_files(context: ExecutorContext) -> dict[str, list[str]]:
    """The local paths of the files that the driver found, by input split.

    Files at a URL are downloaded to the node's temporary directory.

    Raises:
        StorageError: a download failed.
    """
    files: dict[str, list[str]] = context.resolved["files"]
    count = sum(map(len, files.values()))
    local: dict[str, list[str]] = {}
    for split, found in files.items():
        local[split] = []
        for place in found:
            if is_url(place):
                number = sum(map(len, local.values()))
                name = f"{number:06d}-{place.rpartition('/')[2]}"
                target = os.path.join(context.tmp_dir, "fetched", name)
                objects.download(place, target)
                context.progress(number + 1, count, "files fetched")
                place = target
            local[split].append(place)
    return local
