"""Directories of an object store, by their URL, over fsspec.

There is no rename there, and a directory is only a prefix of names. What must appear whole is
therefore written file by file, with one file last that readers require.

Credentials and endpoints are fsspec's own: `FSSPEC_S3_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID` and so on.
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
    """An object: `size` in bytes, and a text that changes with its content where the store has
    one, such as an ETag or a time of change."""

    size: int
    tag: str


def exists(url: str) -> bool:
    """Whether there is an object at a URL."""
    with _translated(url) as (files, path):
        return bool(files.isfile(path))


def listing(url: str) -> Mapping[str, ObjectInfo]:
    """Every object below a URL, by its path from there; empty where there is none."""
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
    """The content of an object.

    Raises:
        FileNotFoundError: there is none.
    """
    with _translated(url) as (files, path):
        return bytes(files.cat_file(path))


def write(url: str, content: bytes) -> None:
    """Makes or replaces an object; it is there whole or not at all."""
    with _translated(url) as (files, path):
        files.pipe_file(path, content)


def create(url: str, content: bytes) -> bool:
    """Makes an object; False where there is one already."""
    with _translated(url) as (files, path):
        try:
            files.pipe_file(path, content, mode="create")
        except FileExistsError:
            return False
        return True


def upload(directory: str, url: str, last: Sequence[str] = ()) -> None:
    """Copies all files of a local directory below a URL.

    Args:
        last: paths in the directory that are copied after all others, in this order.
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
    """Copies an object to a local file, whose directory is made where it does not exist."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with _translated(url) as (files, path):
        files.get_file(path, target)


def remove(url: str, first: Sequence[str] = ()) -> None:
    """Removes everything below a URL.

    Args:
        first: names that are removed before all others.
    """
    with _translated(url) as (files, path):
        for name in first:
            with contextlib.suppress(FileNotFoundError):
                files.rm_file(f"{path}/{name}")
        with contextlib.suppress(FileNotFoundError):
            files.rm(path, recursive=True)


@contextlib.contextmanager
def _translated(url: str) -> Iterator[tuple[Any, str]]:
    """The filesystem and the path of a URL; its errors become ours, and stay chained."""
    import fsspec

    try:
        files, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"{url}: {error}; install what fsspec needs for it, such as prodml[s3]"
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
        # botocore's errors, which fsspec lets through, have a class for each way to fail.
        if type(error).__module__.partition(".")[0] not in ("botocore", "aiobotocore", "aiohttp"):
            raise
        raise StorageError(f"{url}: {error}") from error


def _tag(info: Mapping[str, Any]) -> str:
    for name in ("ETag", "etag", "md5Hash", "LastModified", "mtime", "created"):
        if info.get(name) is not None:
            return str(info[name])
    return ""
