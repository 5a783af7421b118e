"""Checks events against OpenLineage's published schema with jsonschema.

The core schema is written here after https://openlineage.io/spec/2-0-2/OpenLineage.json: required
fields, types and formats. openlineage-python does not contain the published files, but classes
generated from them: the schemas of facets are derived from these classes, which have the URL, the
fields and the optional fields. The schema of prodml's facets is docs/openlineage/1-0-0.json.
"""

import importlib
import json
import pkgutil
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attr
import openlineage.client.generated as generated
from jsonschema import Draft202012Validator, FormatChecker
from openlineage.client.generated.base import BaseFacet

_OWN = json.loads((Path(__file__).parents[2] / "docs/openlineage/1-0-0.json").read_text())

_URI = {"type": "string", "format": "uri"}
_FORMATS = {"runId": {"format": "uuid"}, "uri": {"format": "uri"}}
"""Formats of fields of facets, which the generated classes check in code."""

_FACETS = {"type": "object", "additionalProperties": {"$ref": "#/$defs/Facet"}}
_DATASET = {
    "type": "object",
    "properties": {
        "namespace": {"type": "string"},
        "name": {"type": "string"},
        "facets": _FACETS,
        "inputFacets": _FACETS,
        "outputFacets": _FACETS,
    },
    "required": ["namespace", "name"],
}
_CORE = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$defs": {
        "Facet": {
            "type": "object",
            "properties": {"_producer": _URI, "_schemaURL": _URI, "_deleted": {"type": "boolean"}},
            "required": ["_producer", "_schemaURL"],
        },
        "Job": {
            "type": "object",
            "properties": {
                "namespace": {"type": "string"},
                "name": {"type": "string"},
                "facets": _FACETS,
            },
            "required": ["namespace", "name"],
        },
        "Run": {
            "type": "object",
            "properties": {"runId": {"type": "string", "format": "uuid"}, "facets": _FACETS},
            "required": ["runId"],
        },
    },
    "type": "object",
    "properties": {
        "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
        "eventTime": {"type": "string", "format": "date-time"},
        "producer": _URI,
        "schemaURL": {
            "const": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
        },
        "run": {"$ref": "#/$defs/Run"},
        "job": {"$ref": "#/$defs/Job"},
        "inputs": {"type": "array", "items": _DATASET},
        "outputs": {"type": "array", "items": _DATASET},
    },
    "required": ["eventTime", "producer", "schemaURL", "run", "job"],
}


def problems(event: dict[str, Any]) -> list[str]:
    """Lists the errors in an event and its facets; empty if it is valid."""
    found = _errors(_CORE, event)
    for facet in _facets(event):
        found += _errors(_schema_of(facet["_schemaURL"]), facet)
    return found


def _errors(schema: dict[str, Any], value: Any) -> list[str]:
    checker = FormatChecker()
    assert {"uri", "uuid", "date-time"} <= checker.checkers.keys()
    validator = Draft202012Validator(schema, format_checker=checker)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def _facets(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from event["run"]["facets"].values()
    yield from event["job"]["facets"].values()
    for dataset in [*event["inputs"], *event["outputs"]]:
        for bag in ("facets", "inputFacets", "outputFacets"):
            yield from dataset.get(bag, {}).values()


def _schema_of(url: str) -> dict[str, Any]:
    base, _, pointer = url.partition("#/$defs/")
    if base == _OWN["$id"]:
        return {**_OWN["$defs"][pointer], "$schema": _OWN["$schema"]}
    return _of_class(_classes()[url])


def _classes() -> dict[str, type]:
    modules = [
        importlib.import_module(f"{generated.__name__}.{module.name}")
        for module in pkgutil.iter_modules(generated.__path__)
    ]
    return {
        cls._get_schema(): cls
        for module in modules
        for cls in vars(module).values()
        if isinstance(cls, type) and issubclass(cls, BaseFacet)
    }


def _of_class(cls: type) -> dict[str, Any]:
    fields = attr.fields_dict(cls)
    hints = typing.get_type_hints(cls)
    properties = {name: _of_type(hints[name]) | _FORMATS.get(name, {}) for name in fields}
    required = [name for name, field in fields.items() if field.default is attr.NOTHING]
    if issubclass(cls, BaseFacet):
        properties |= {"_producer": _URI, "_schemaURL": _URI}
        required += ["_producer", "_schemaURL"]
    return {"type": "object", "properties": properties, "required": required}


def _of_type(hint: Any) -> dict[str, Any]:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        (hint,) = [one for one in typing.get_args(hint) if one is not type(None)]
    if hint in (str, int, bool):
        return {"type": {str: "string", int: "integer", bool: "boolean"}[hint]}
    if typing.get_origin(hint) is dict:
        return {"type": "object"}
    if typing.get_origin(hint) is list:
        return {"type": "array", "items": _of_type(typing.get_args(hint)[0])}
    assert attr.has(hint), hint
    return _of_class(hint)
