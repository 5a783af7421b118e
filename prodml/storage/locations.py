"""Places as users write them: a path, or a URL such as `s3://bucket/artifacts`."""

from __future__ import annotations

import os


def is_url(place: str) -> bool:
    """Whether a place is elsewhere, for fsspec to find; `file://` is here."""
    return "://" in place and not place.startswith("file://")


def normal(place: str) -> str:
    """A URL without a slash at its end, or an absolute path."""
    if is_url(place):
        return place.rstrip("/")
    return os.path.abspath(place.removeprefix("file://"))


def join(place: str, *names: str) -> str:
    """A place below another one."""
    if is_url(place):
        return "/".join([place.rstrip("/"), *names])
    return os.path.join(place, *names)
