"""Which versions of a model stand on disk, and which of them should be served."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

_LARGEST = 2**63 - 1


def versions_on_disk(base_path: str) -> dict[int, str]:
    """The directories of all versions by number.

    Names that are not whole numbers of 64 bits are skipped, so a version that is still being copied
    under another name is not seen. Of two names for one number, the first in the order of text
    counts.

    Raises:
        OSError: the base path is absent or cannot be read.
    """
    found: dict[int, str] = {}
    with os.scandir(base_path) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.isascii() and entry.name.isdigit() and entry.is_dir():
                found.setdefault(int(entry.name), entry.path)
    return {number: path for number, path in found.items() if number <= _LARGEST}


def aspired_versions(on_disk: Mapping[int, str], policy: Any) -> dict[int, str]:
    """The versions that should be served; the latest one where the policy says nothing.

    Args:
        on_disk: directory by version.
        policy: a ServableVersionPolicy: `latest` (how many), `all`, or `specific` (which).
    """
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return dict(on_disk)
    if kind == "specific":
        return {n: on_disk[n] for n in sorted(set(policy.specific.versions)) if n in on_disk}
    count = policy.latest.num_versions or 1
    return {n: on_disk[n] for n in sorted(on_disk)[-count:]}
