"""Descriptions of what a schema expects."""

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from prodml.components.example_validator.expectations import expected_text, may_be_absent

SCHEMA = text_format.Parse(
    """
    feature { name: "origin" type: BYTES domain: "airport" presence { min_fraction: 1.0 }
              shape { dim { size: 1 } } }
    feature { name: "hour" type: INT int_domain { min: 0 max: 23 } presence { min_fraction: 0.5 } }
    feature { name: "wind" type: FLOAT presence { min_count: 1 } value_count { min: 1 max: 3 } }
    feature { name: "never" type: FLOAT presence { min_count: 0 } }
    feature { name: "old" type: FLOAT lifecycle_stage: DEPRECATED }
    feature { name: "free" type: FLOAT }
    string_domain { name: "airport" value: "EWR" value: "JFK" }
    """,
    schema_pb2.Schema(),
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("origin", "BYTES, in every row, one value per row, one of 'EWR', 'JFK'"),
        ("hour", "INT, in at least 0.5 of the rows, between 0 and 23"),
        ("wind", "FLOAT, in at least 1 row, 1 to 3 values per row"),
        ("free", "FLOAT"),
        ("unknown", "no such feature; the schema has 6 other features"),
    ],
)
def test_an_expectation_is_described_in_words(name: str, text: str) -> None:
    assert expected_text(SCHEMA, name) == text


def test_only_features_that_the_schema_makes_optional_may_be_absent() -> None:
    absent = [feature.name for feature in SCHEMA.feature if may_be_absent(feature)]
    assert absent == ["never", "old"]
