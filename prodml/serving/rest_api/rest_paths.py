"""The paths of TF Serving's REST API."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from tensorflow_serving.apis import model_pb2

from prodml.errors import ServingError

_NAME = r"/(?P<name>[^/:]+)"
_VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_PREDICTION = re.compile(
    rf"/v1/models{_NAME}{_VERSION}:(?P<verb>classify|regress|predict)", re.I | re.A
)
_STATUS = re.compile(rf"/v1/models(?:{_NAME})?{_VERSION}(?:/(?P<verb>metadata))?", re.I | re.A)
_LARGEST_VERSION = (1 << 63) - 1


@dataclass(frozen=True)
class RestCall:
    """A request path, parsed.

    Attributes:
        verb: `predict`, `classify`, `regress`, `status` or `metadata`.
        spec: the model, and its version or label.
    """

    verb: str
    spec: model_pb2.ModelSpec


def parse_path(method: str, path: str) -> RestCall:
    """Parses a request path.

    Args:
        method: the request's HTTP method, such as POST.
        path: the path as sent, percent-encoded, without the query.

    Raises:
        ServingError: there is no such path, or not for this method.
    """
    pattern = {"POST": _PREDICTION, "GET": _STATUS}.get(method)
    match = pattern.fullmatch(path) if pattern else None
    if match is None:
        raise ServingError("INVALID_ARGUMENT", f"Malformed request: {method} {path}")
    if not match["name"]:
        raise ServingError("INVALID_ARGUMENT", "Missing model name in request.")
    spec = model_pb2.ModelSpec(name=unquote(match["name"]))
    if match["version"]:
        version = int(match["version"]) if len(match["version"]) < 20 else _LARGEST_VERSION + 1
        if version > _LARGEST_VERSION:
            raise ServingError(
                "INVALID_ARGUMENT", f"Failed to convert version: {match['version']} to numeric."
            )
        spec.version.value = version
    if match["label"]:
        spec.version_label = unquote(match["label"])
    return RestCall((match["verb"] or "status").lower(), spec)
