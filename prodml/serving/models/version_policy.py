"""Selects the versions of a model to serve by the policy in its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def aspired_versions(on_disk: Mapping[int, str], policy: Any) -> dict[int, str]:
    """Returns the versions to serve; the latest one if the policy is empty.

    Args:
        on_disk: the directories of the versions on disk by number.
        policy: a ServableVersionPolicy: `latest` (how many), `all`, or `specific` (which).
    """
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return dict(on_disk)
    if kind == "specific":
        return {n: on_disk[n] for n in sorted(set(policy.specific.versions)) if n in on_disk}
    count = policy.latest.num_versions or 1
    return {n: on_disk[n] for n in sorted(on_disk)[-count:]}
