"""Reads and writes directories of object stores, by URL, with fsspec.

An object store has no rename, and a directory is only a prefix of names. So to publish a directory
atomically, the file that readers require is written last.

Credentials and endpoints are configured as for fsspec: `FSSPEC_S3_ENDPOINT_URL`,
`AWS_ACCESS_KEY_ID` and so on.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prodml.errors import ConfigError, StorageError


@dataclass(frozen=True)
class ObjectInfo:
    """The metadata of an object.

    Attributes:
        size: size in bytes.
        tag: a text that changes with the content, such as an ETag or a modification time; empty if
            the store has none.
    """

    size: int
    tag: str


def exists(url: str) -> bool:
    """Whether an object exists at a URL."""
    with _translated(url) as (files, path):
        return bool(files.isfile(path))


def listing(url: str) -> Mapping[str, ObjectInfo]:
    """The objects below a URL, by path relative to the URL; empty if there are none."""
    with _translated(url) as (files, path):
        files.invalidate_cache()
        try:
            found = files.find(path, detail=True)
        except FileNotFoundError:
            return {}
        prefix = path.rstrip("/") + "/"
        return {
            name.lstrip("/").removeprefix(prefix.lstrip("/")): ObjectInfo(
                int(info.get("size") or 0), _tag(info)
            )
            for name, info in sorted(found.items())
        }


def read(url: str) -> bytes:
    """Reads the content of an object.

    Raises:
        FileNotFoundError: the object does not exist.
    """
    with _translated(url) as (files, path):
        return bytes(files.cat_file(path))


def write(url: str, content: bytes) -> None:
    """Creates or replaces an object atomically."""
    with _translated(url) as (files, path):
        files.pipe_file(path, content)


def create(url: str, content: bytes) -> bool:
    """Creates an object; returns False if the object exists already."""
    with _translated(url) as (files, path):
        try:
            files.pipe_file(path, content, mode="create")
        except FileExistsError:
            return False
        return True


def upload(directory: str, url: str, last: Sequence[str] = ()) -> None:
    """Uploads all files of a local directory to a URL.

    Args:
        directory: the local directory.
        url: URL of the target directory.
        last: paths in the directory that are uploaded after all others, in this order.
    """
    found = sorted(
        os.path.relpath(os.path.join(folder, name), directory)
        for folder, _, names in os.walk(directory)
        for name in names
    )
    ordered = [path for path in found if path not in last]
    ordered += [path for path in last if path in found]
    with _translated(url) as (files, path):
        for name in ordered:
            files.put_file(os.path.join(directory, name), f"{path}/{name.replace(os.sep, '/')}")


def download(url: str, target: str) -> None:
    """Downloads an object to a local file, and creates the file's directory if necessary."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with _translated(url) as (files, path):
        files.get_file(path, target)


def remove(url: str, first: Sequence[str] = ()) -> None:
    """Removes all objects below a URL.

    Args:
        url: URL of the directory.
        first: names of objects to remove before all others.
    """
    with _translated(url) as (files, path):
        for name in first:
            with contextlib.suppress(FileNotFoundError):
                files.rm_file(f"{path}/{name}")
        with contextlib.suppress(FileNotFoundError):
            files.rm(path, recursive=True)


@contextlib.contextmanager
def _translated(url: str) -> Iterator[tuple[Any, str]]:
    """Yields the filesystem and the path of a URL, and translates errors into prodml's."""
    import fsspec

    try:
        files, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"{url}: {error}; install the package that fsspec needs for it, such as prodml[s3]"
        ) from error
    try:
        yield files, path
    except (FileNotFoundError, FileExistsError):
        raise
    except PermissionError as error:
        raise StorageError(f"{url}: access denied; check the credentials and the policy") from error
    except OSError as error:
        raise StorageError(f"{url}: {error}") from error
    except Exception as error:
        # fsspec does not translate botocore's errors, which have a class for each failure.
        if type(error).__module__.partition(".")[0] not in ("botocore", "aiobotocore", "aiohttp"):
            raise
        raise StorageError(f"{url}: {error}") from error


def _tag(info: Mapping[str, Any]) -> str:
    for name in ("ETag", "etag", "md5Hash", "LastModified", "mtime", "created"):
        if info.get(name) is not None:
            return str(info[name])
    return ""
