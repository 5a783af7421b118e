"""Describes what a schema expects of a feature."""

from __future__ import annotations

from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2

_DOMAINS = ("string_domain", "int_domain", "float_domain")
_SHOWN_VALUES = 10
_NOT_IN_PRODUCTION = (
    schema_pb2.PLANNED,
    schema_pb2.ALPHA,
    schema_pb2.DEPRECATED,
    schema_pb2.DEBUG_ONLY,
    schema_pb2.DISABLED,
)


def expected_text(schema: Any, name: str) -> str:
    """Describes a feature, such as `BYTES, in every row, one value per row, one of 'A', 'B'`."""
    feature = next((f for f in schema.feature if f.name == name), None)
    if feature is None:
        return f"no such feature; the schema has {len(schema.feature)} other features"
    parts = [
        schema_pb2.FeatureType.Name(feature.type),
        _presence_text(feature),
        _count_text(feature),
        _domain_text(schema, feature),
    ]
    return ", ".join(part for part in parts if part)


def may_be_absent(feature: Any) -> bool:
    """Whether the schema allows a feature to be absent from every row.

    This is so for `presence { min_count: 0 }`, which SchemaGen writes for a column without any
    value, and for features that are not in production.
    """
    if not is_in_production(feature):
        return True
    presence = feature.presence
    return bool(presence.HasField("min_count") and presence.min_count == 0)


def is_in_production(feature: Any) -> bool:
    """Whether TFDV validates a feature: not deprecated, disabled, planned, alpha or debug-only."""
    return not feature.deprecated and feature.lifecycle_stage not in _NOT_IN_PRODUCTION


def _presence_text(feature: Any) -> str:
    presence = feature.presence
    if presence.min_fraction >= 1:
        return "in every row"
    if presence.min_fraction > 0:
        return f"in at least {presence.min_fraction:.4g} of the rows"
    if presence.min_count > 0:
        return f"in at least {presence.min_count} row{'s' if presence.min_count > 1 else ''}"
    return ""


def _count_text(feature: Any) -> str:
    match feature.WhichOneof("shape_type"):
        case "shape":
            sizes = [dim.size for dim in feature.shape.dim]
            return "one value per row" if sizes in ([], [1]) else f"shape {sizes}"
        case "value_count":
            low, high = feature.value_count.min, feature.value_count.max
            return f"{low} value per row" if low == high == 1 else f"{low} to {high} values per row"
        case _:
            return ""


def _domain_text(schema: Any, feature: Any) -> str:
    kind = feature.WhichOneof("domain_info")
    if kind == "domain":
        return next(
            _values_text(domain)
            for field in _DOMAINS
            for domain in getattr(schema, field)
            if domain.name == feature.domain
        )
    return _values_text(getattr(feature, kind)) if kind in _DOMAINS else ""


def _values_text(domain: Any) -> str:
    if isinstance(domain, schema_pb2.StringDomain):
        shown = ", ".join(repr(value) for value in domain.value[:_SHOWN_VALUES])
        more = len(domain.value) - _SHOWN_VALUES
        return f"one of {shown}{f' and {more} more' if more > 0 else ''}"
    low = domain.min if domain.HasField("min") else "-inf"
    high = domain.max if domain.HasField("max") else "inf"
    return f"between {low} and {high}"
