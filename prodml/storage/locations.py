"""Locations as users write them: a path, or a URL such as `s3://bucket/artifacts`."""

from __future__ import annotations

import os


def is_url(place: str) -> bool:
    """Whether a location is a URL for fsspec; `file://` is a local path."""
    return "://" in place and not place.startswith("file://")


def normalized(place: str) -> str:
    """Normalizes a location: a URL without a trailing slash, or an absolute path."""
    if is_url(place):
        return place.rstrip("/")
    return os.path.abspath(place.removeprefix("file://"))


def join(place: str, *names: str) -> str:
    """Appends names to a location."""
    if is_url(place):
        return "/".join([place.rstrip("/"), *names])
    return os.path.join(place, *names)
