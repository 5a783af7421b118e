"""Paths of the REST API, as TF Serving reads them."""

from __future__ import annotations

import pytest

from prodml.errors import ServingError
from prodml.serving.rest_api.rest_paths import parse_path


@pytest.mark.parametrize(
    ("method", "path", "verb", "name"),
    [
        ("POST", "/v1/models/m:predict", "predict", "m"),
        ("POST", "/V1/MODELS/M:Classify", "classify", "M"),
        ("GET", "/v1/models/m", "status", "m"),
        ("GET", "/v1/models/m/metadata", "metadata", "m"),
        ("GET", "/v1/models/a%20b", "status", "a b"),
        ("GET", "/v1/models/a+b", "status", "a+b"),
        ("POST", "/v1/models/a%2Fb%3Ac:regress", "regress", "a/b:c"),
        ("GET", "/v1/models/%E9%A3%9B", "status", "飛"),
    ],
)
def test_a_path_names_a_model_and_a_verb(method: str, path: str, verb: str, name: str) -> None:
    call = parse_path(method, path)
    assert (call.verb, call.spec.name) == (verb, name)
    assert call.spec.WhichOneof("version_choice") is None


def test_a_path_names_a_version_or_a_label() -> None:
    assert parse_path("GET", "/v1/models/m/versions/007").spec.version.value == 7
    assert parse_path("POST", "/v1/models/m/versions/0:predict").spec.version.value == 0
    spec = parse_path("POST", "/v1/models/m/labels/my%20label:predict").spec
    assert spec.version_label == "my label"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models/"),
        ("GET", "/v1/models/m/"),
        ("GET", "/v1/models/m:predict"),
        ("POST", "/v1/models/m"),
        ("POST", "/v1/models/m:predict/"),
        ("POST", "/v1/models/m/n:predict"),
        ("POST", "/v1/models/m/version/1:predict"),
        ("POST", "/v1/models/m/versions/one:predict"),
        ("POST", "/v1/models/m/versions/-1:predict"),
        ("POST", "/v1/models/m/versions/1/labels/a:predict"),
        ("POST", "/v1/models/m/metadata"),
        ("HEAD", "/v1/models/m"),
    ],
)
def test_any_other_path_is_a_malformed_request(method: str, path: str) -> None:
    with pytest.raises(ServingError) as raised:
        parse_path(method, path)
    assert raised.value.code == "INVALID_ARGUMENT"
    assert str(raised.value) == f"Malformed request: {method} {path}"


def test_a_number_beyond_64_bits_is_no_version() -> None:
    with pytest.raises(ServingError, match="Failed to convert version: 9223372036854775808 to"):
        parse_path("GET", f"/v1/models/m/versions/{1 << 63}")
