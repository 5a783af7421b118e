"""Reads the versions at a push destination, and the origin of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prodml.components.pusher.versions import PUSH_FILE
from prodml.documents import parse_json
from prodml.errors import StorageError
from prodml.storage import objects
from prodml.storage.locations import is_url, join
from prodml.storage.model_versions import versions_on_disk


@dataclass(frozen=True)
class Push:
    """The record of a push in a version's directory.

    Attributes:
        pipeline, node: the pipeline and the node that pushed the version.
        files: digests of the files, by path.
    """

    pipeline: str
    node: str
    files: Mapping[str, str]


def versions_at(base: str) -> list[int]:
    """The versions at a destination, ascending; empty if the destination does not exist.

    Raises:
        StorageError: the destination cannot be listed.
    """
    if is_url(base):
        # In an object store, a version is complete and loadable once its saved_model.pb exists.
        paths = (name.split("/") for name in objects.listing(base))
        found = {path[0] for path in paths if path[1:] == ["saved_model.pb"]}
        return sorted(int(name) for name in found if name.isascii() and name.isdigit())
    try:
        return sorted(versions_on_disk(base))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"{base}: {error.strerror}; its versions cannot be listed") from error


def push_of(base: str, version: int) -> Push | None:
    """The record of a version's push; None if the version is absent or prodml did not push it.

    Raises:
        StorageError: the record cannot be read.
    """
    place = join(base, str(version), PUSH_FILE)
    try:
        pushed = parse_json(_read(place).decode())
        pipeline, _, node = pushed["origin"].split("/")
        return Push(pipeline, node, pushed["files"])
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
    except OSError as error:
        raise StorageError(f"{place}: {error.strerror}") from error


def _read(place: str) -> bytes:
    if is_url(place):
        return objects.read(place)
    with open(place, "rb") as file:
        return file.read()
