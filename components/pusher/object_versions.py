"""Versions of a model in an object store, where nothing can be renamed."""

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
    """Copies a model to `<base>/<version>/` and gives the version.

    A version is claimed first, by an object that only one can make; so two pushes at once give two
    versions. `saved_model.pb` comes after all that it refers to: before it, a server finds nothing
    to load, and with it everything. A push that was killed is taken up again under its own claim.

    Args:
        source: local directory of the model.
        base: URL of the directory of all versions.
        origin: tells the push from all others: `pipeline/run/node`.

    Returns:
        The Unix time in seconds, or one more than the highest version or claim if that is later.

    Raises:
        StorageError: the store refuses; what was copied is no version that a server could load.
    """
    pushed = {"origin": origin, "files": digests(source)}
    version = _claim(base, json.dumps(pushed, sort_keys=True).encode())
    place = join(base, str(version))
    if not _is_whole(place, pushed):
        objects.upload(source, place, last=["saved_model.pb"])
        objects.write(join(place, PUSH_FILE), json.dumps(pushed, indent=1).encode())
    return version


def _claim(base: str, claim: bytes) -> int:
    """The version that these bytes have claimed, before or now."""
    claims, versions = _taken(base)
    for version in sorted(claims, reverse=True):
        if objects.read(join(base, _CLAIM.format(version))) == claim:
            return version
    version = max(int(time.time()), max(claims | versions, default=0) + 1)
    while not objects.create(join(base, _CLAIM.format(version)), claim):
        version += 1
    return version


def _taken(base: str) -> tuple[set[int], set[int]]:
    """Claimed versions, and those that stand there."""
    prefix = _CLAIM.format("")
    firsts = {name.split("/")[0] for name in objects.listing(base)}
    claims = {name.removeprefix(prefix) for name in firsts if name.startswith(prefix)}
    return {int(n) for n in claims if n.isdigit()}, {int(n) for n in firsts if n.isdigit()}


def _is_whole(place: str, pushed: Mapping[str, object]) -> bool:
    try:
        found = parse_json(objects.read(join(place, PUSH_FILE)).decode())
    except (FileNotFoundError, ValueError):
        return False
    files = pushed["files"]
    assert isinstance(files, Mapping)
    return found == pushed and files.keys() <= objects.listing(place).keys()
