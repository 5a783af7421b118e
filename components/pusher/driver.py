"""Compares a cached push with the versions at its destination, on every plan."""

from __future__ import annotations

from prodml.components.pusher.component import PushDestination
from prodml.components.pusher.destination import push_of, versions_at
from prodml.dsl.executor import CachedResult, CacheVerdict
from prodml.storage.locations import normalized


def judge_cached(result: CachedResult) -> CacheVerdict:
    """Whether the pushed version is still the newest, or has the same content as the newest.

    The model is pushed again if this node has pushed another model since (as happens when a change
    is reverted), or if the destination has no version. A newer version that another pipeline
    pushed or that was copied by hand is kept, and a version that was removed by hand is not
    restored: these are decisions of people, which a run without changes must not undo.

    Raises:
        StorageError: the destination cannot be read.
    """
    (pushed,) = result.outputs["pushed_model"]
    if pushed.custom_properties.get("pushed") != 1:
        return CacheVerdict()
    version = int(pushed.custom_properties["pushed_version"])
    destination: PushDestination = result.parameters["push_destination"]
    chosen = destination.filesystem or destination.model_server
    assert chosen is not None
    base = normalized(chosen.base_directory)
    found = versions_at(base)
    if not found:
        return CacheVerdict(run_again=f"there is no version in {base}")
    newest = found[-1]
    if newest == version:
        return CacheVerdict()
    ours, other = push_of(base, version), push_of(base, newest)
    if ours and other and ours.files == other.files:
        return CacheVerdict()
    if newest < version:
        return CacheVerdict(
            superseded=f"version {version} was removed from {base}, the newest version is now "
            f"{newest}; --no-cache pushes the model again"
        )
    if other and (other.pipeline, other.node) == (result.pipeline_name, result.node_id):
        return CacheVerdict(
            run_again=f"version {newest} in {base} is newer than version {version}, under which "
            f"this model was pushed"
        )
    by = f"pushed by {other.node} of pipeline {other.pipeline}" if other else "copied there"
    return CacheVerdict(
        superseded=f"version {newest} in {base}, {by}, is newer than version {version}, under "
        f"which this model was pushed; --no-cache pushes it again"
    )
