"""Manifests: the files of an artifact's directory when it was published.

`.prodml-manifest.json` in the directory names the execution that published it, and lists every file
with its size, modification time and BLAKE2b digest. The digest of the manifest identifies the
content, independent of its location.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from prodml.errors import InputDataError
from prodml.paths import first_link_outside
from prodml.storage import objects
from prodml.storage.locations import is_url, join
from prodml.storage.syncing import sync

MANIFEST = ".prodml-manifest.json"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class FileEntry:
    """A file: `path` is relative to the directory, `size` in bytes, `modified` in Unix ns."""

    path: str
    size: int
    modified: int
    digest: str


@dataclass(frozen=True)
class Manifest:
    """The files of an artifact, sorted by path."""

    files: tuple[FileEntry, ...]

    @property
    def digest(self) -> str:
        """Digest of the paths and file contents, without times."""
        whole = hashlib.blake2b(digest_size=20)
        for entry in self.files:
            # A file name may contain bytes that are not valid UTF-8.
            line = f"{entry.path}\0{entry.digest}\n"
            whole.update(line.encode(errors="surrogateescape"))
        return whole.hexdigest()

    @property
    def size(self) -> int:
        """Size of all files in bytes."""
        return sum(entry.size for entry in self.files)


def describe(directory: str) -> Manifest:
    """Computes the manifest of a directory as it is now; reads every file.

    Raises:
        InputDataError: a symbolic link in the directory leads out of it.
    """
    link = first_link_outside(directory)
    if link is not None:
        raise InputDataError(
            f"{os.path.join(directory, link)} is a link that leads out of the artifact; replace "
            f"the link with the file itself"
        )
    return Manifest(tuple(_entry(directory, path) for path in _paths(directory)))


def seal(directory: str, execution_name: str) -> Manifest:
    """Writes the manifest into a directory, and syncs all of its files to disk.

    Args:
        execution_name: name of the execution that made the content.
    """
    manifest = describe(directory)
    for entry in manifest.files:
        sync(os.path.join(directory, entry.path))
    path = os.path.join(directory, MANIFEST)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(
            {"maker": execution_name, "files": [asdict(entry) for entry in manifest.files]}, file
        )
        file.flush()
        os.fsync(file.fileno())
    for folder, _, _ in os.walk(directory):
        sync(folder)
    return manifest


def difference(place: str) -> str | None:
    """Describes how an artifact has changed since it was sealed; None if it has not.

    In a directory, a file whose size and time are as recorded counts as unchanged; a file with
    another time is read. In an object store, only sizes are compared; the content of files is
    compared when they are fetched.

    Args:
        place: a directory, or a URL.
    """
    try:
        recorded = recorded_files(place)
    except FileNotFoundError:
        is_gone = is_url(place) or not os.path.isdir(place)
        return f"{place} is gone" if is_gone else "its manifest is gone"
    except (ValueError, TypeError, KeyError):
        return f"the manifest in {place} is damaged"
    return _difference_there(place, recorded) if is_url(place) else _difference(place, recorded)


def recorded_files(place: str) -> dict[str, FileEntry]:
    """The entries of an artifact's manifest, by path.

    Raises:
        FileNotFoundError: the artifact has no manifest.
        ValueError, TypeError, KeyError: the manifest is damaged, or names a file outside the
            artifact.
    """
    recorded = {item["path"]: FileEntry(**item) for item in _read(place)["files"]}
    for path in recorded:
        if os.path.isabs(path) or os.path.normpath(path) != path or path.startswith(".."):
            raise ValueError(f"{path!r} is not a path below the artifact")
    return recorded


def recorded_execution(place: str) -> str | None:
    """Name of the execution that published a directory or URL; None if no manifest names one."""
    try:
        return str(_read(place)["maker"])
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError):
        return None


def _read(place: str) -> Mapping[str, Any]:
    if is_url(place):
        text: str | bytes = objects.read(join(place, MANIFEST))
    else:
        with open(os.path.join(place, MANIFEST), encoding="utf-8") as file:
            text = file.read()
    document: Mapping[str, Any] = json.loads(text)
    return document


def _difference(directory: str, recorded: Mapping[str, FileEntry]) -> str | None:
    link = first_link_outside(directory)
    if link is not None:
        return f"{os.path.join(directory, link)} is a link that leads out of the artifact"
    present = set(_paths(directory))
    for path, entry in recorded.items():
        if path not in present:
            return f"{os.path.join(directory, path)} was deleted"
        status = os.stat(os.path.join(directory, path))
        if (status.st_size, status.st_mtime_ns) == (entry.size, entry.modified):
            continue
        if _entry(directory, path).digest != entry.digest:
            return f"{os.path.join(directory, path)} was changed"
    added = sorted(present - recorded.keys())
    return f"{os.path.join(directory, added[0])} was added" if added else None


def _difference_there(url: str, recorded: Mapping[str, FileEntry]) -> str | None:
    present = objects.listing(url)
    for path, entry in recorded.items():
        if path not in present:
            return f"{join(url, path)} was deleted"
        if present[path].size != entry.size:
            return f"{join(url, path)} was changed"
    added = sorted(present.keys() - recorded.keys() - {MANIFEST})
    return f"{join(url, added[0])} was added" if added else None


def file_digest(path: str) -> str:
    """BLAKE2b digest of a file's content."""
    with open(path, "rb") as file:
        whole = hashlib.blake2b(digest_size=20)
        while block := file.read(_BLOCK):
            whole.update(block)
    return whole.hexdigest()


def _entry(directory: str, path: str) -> FileEntry:
    full = os.path.join(directory, path)
    status = os.stat(full)
    return FileEntry(path, status.st_size, status.st_mtime_ns, file_digest(full))


def _paths(directory: str) -> Iterator[str]:
    found = []
    for folder, _, names in os.walk(directory):
        relative = os.path.relpath(folder, directory)
        found += [os.path.normpath(os.path.join(relative, name)) for name in names]
    return iter(sorted(path for path in found if path != MANIFEST))
