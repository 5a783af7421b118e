"""Versions of a model in an object store, which has no atomic rename."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from prodml.components.pusher.versions import PUSH_FILE, digests
from prodml.documents import parse_json
from prodml.storage import objects
from prodml.storage.locations import join

_CLAIM = ".prodml-claim-{}"


def push_version(source: str, base: str, origin: str) -> int:
    """Copies a model to `<base>/<version>/` and returns the version.

    The version is claimed first, with an object that only one push can create; so two concurrent
    pushes get two versions. `saved_model.pb` is uploaded after all files that it refers to: until
    then a server finds nothing to load, and afterwards the complete model. A push that was killed
    is resumed under its own claim.

    Args:
        source: local directory of the model.
        base: URL of the directory of all versions.
        origin: identifies the push: `pipeline/run/node`.

    Returns:
        The Unix time in seconds, or the highest version or claim plus one if that is greater.

    Raises:
        StorageError: the upload failed; no server can load the uploaded files as a version.
    """
    pushed = {"origin": origin, "files": digests(source)}
    version = _claim(base, json.dumps(pushed, sort_keys=True).encode())
    place = join(base, str(version))
    if not _is_complete(place, pushed):
        objects.upload(source, place, last=["saved_model.pb"])
        objects.write(join(place, PUSH_FILE), json.dumps(pushed, indent=1).encode())
    return version


def _claim(base: str, claim: bytes) -> int:
    """The version that this claim has reserved, earlier or now."""
    claims, versions = _reserved(base)
    for version in sorted(claims, reverse=True):
        if objects.read(join(base, _CLAIM.format(version))) == claim:
            return version
    version = max(int(time.time()), max(claims | versions, default=0) + 1)
    while not objects.create(join(base, _CLAIM.format(version)), claim):
        version += 1
    return version


def _reserved(base: str) -> tuple[set[int], set[int]]:
    """The claimed versions, and the existing versions."""
    prefix = _CLAIM.format("")
    firsts = {name.split("/")[0] for name in objects.listing(base)}
    claims = {name.removeprefix(prefix) for name in firsts if name.startswith(prefix)}
    return {int(n) for n in claims if n.isdigit()}, {int(n) for n in firsts if n.isdigit()}


def _is_complete(place: str, pushed: Mapping[str, object]) -> bool:
    try:
        found = parse_json(objects.read(join(place, PUSH_FILE)).decode())
    except (FileNotFoundError, ValueError):
        return False
    files = pushed["files"]
    assert isinstance(files, Mapping)
    return found == pushed and files.keys() <= objects.listing(place).keys()
