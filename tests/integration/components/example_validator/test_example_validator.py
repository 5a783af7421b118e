"""ExampleValidator against TFDV."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tensorflow_data_validation as tfdv
from support.statistics_on_disk import Columns, statistics_of
from support.validating import GOOD, anomalies_of, schema_of, validate
from tensorflow_data_validation.anomalies.proto import custom_validation_config_pb2
from tensorflow_metadata.proto.v0 import anomalies_pb2

from prodml.artifacts import ExampleAnomalies
from prodml.errors import InputDataError, ValidationError

NEW_CARRIER = {"carrier": ["AA", "ZZ", "UA", "UA"], "distance": [733, 1400, 733, 200]}
NO_DISTANCE = {"carrier": ["AA", "UA", "UA"], "distance": [None, None, None]}


def test_the_anomalies_equal_those_of_tfdv(tmp_path: Path) -> None:
    schema = schema_of(GOOD)
    context = validate(tmp_path, {"train": GOOD, "eval": NEW_CARRIER}, schema)
    for split, columns in (("train", GOOD), ("eval", NEW_CARRIER)):
        assert anomalies_of(context, split) == tfdv.validate_statistics(
            statistics_of(columns), schema
        )
    output = context.output("anomalies", ExampleAnomalies)
    assert json.loads(str(output.custom_properties["blessed"])) == {"train": 1, "eval": 0}
    assert output.properties["span"] == 4
    assert any("carrier" in note and "ZZ" in note for note in context.notes)


def test_fail_on_fails_the_node_with_expected_and_found_values(tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as caught:
        validate(tmp_path, {"train": GOOD, "eval": NEW_CARRIER}, schema_of(GOOD), fail_on="ERROR")
    message = str(caught.value)
    assert "eval: carrier: ERROR: Unexpected string values" in message
    assert "ZZ (~25%)" in message
    assert "expected: BYTES, in every row, one value per row, one of 'AA', 'UA'" in message
    assert "train" not in message


def test_without_fail_on_anomalies_do_not_fail_the_node(tmp_path: Path) -> None:
    context = validate(tmp_path, {"eval": NEW_CARRIER}, schema_of(GOOD))
    assert set(anomalies_of(context, "eval").anomaly_info) == {"carrier"}


def test_fail_on_error_accepts_warnings_and_fail_on_warning_does_not(tmp_path: Path) -> None:
    schema = schema_of(GOOD)
    tfdv.get_feature(schema, "distance").ClearField("presence")
    validate(tmp_path / "a", {"train": NO_DISTANCE}, schema, fail_on="ERROR")
    with pytest.raises(ValidationError, match="distance: WARNING"):
        validate(tmp_path / "b", {"train": NO_DISTANCE}, schema, fail_on="WARNING")


def test_a_required_feature_missing_from_every_row_is_an_error(
    tmp_path: Path,
) -> None:
    with pytest.raises(
        ValidationError, match=r"distance: ERROR: .*missing from all 3 rows of split 'train'"
    ):
        validate(tmp_path, {"train": NO_DISTANCE}, schema_of(GOOD), fail_on="ERROR")


def test_an_absent_column_has_the_same_description_as_an_empty_one(tmp_path: Path) -> None:
    gone = {"carrier": ["AA", "UA", "UA"]}
    with pytest.raises(
        ValidationError, match=r"distance: ERROR: .*missing from all 3 rows of split 'train'"
    ):
        validate(tmp_path, {"train": gone}, schema_of(GOOD), fail_on="ERROR")


def test_a_column_that_never_had_a_value_may_stay_empty(tmp_path: Path) -> None:
    schema = schema_of(NO_DISTANCE)
    context = validate(tmp_path, {"train": NO_DISTANCE}, schema, fail_on="WARNING")
    assert context.notes == ["no anomalies"]


def test_a_split_without_rows_is_an_anomaly(tmp_path: Path) -> None:
    empty: Columns = {"carrier": [], "distance": []}
    with pytest.raises(ValidationError, match=r"eval: \(whole split\): ERROR: No data"):
        validate(tmp_path, {"eval": empty}, schema_of(GOOD), fail_on="ERROR")


def test_drift_is_measured_against_the_previous_statistics_with_its_formula(
    tmp_path: Path,
) -> None:
    schema = schema_of(GOOD)
    tfdv.get_feature(schema, "carrier").drift_comparator.infinity_norm.threshold = 0.2
    earlier = {"carrier": ["AA", "AA", "AA", "UA"], "distance": [733, 1400, 733, 200]}
    context = validate(tmp_path, {"train": GOOD}, schema, previous={"train": earlier})
    assert (
        "drift of carrier in train: L-infinity distance max_v |p(v) - q(v)| = 0.5, "
        "above the threshold 0.2"
    ) in context.notes
    recorded = context.output("anomalies", ExampleAnomalies).custom_properties["drift_skew"]
    assert json.loads(str(recorded)) == [
        {
            "split": "train",
            "feature": "carrier",
            "kind": "drift",
            "measure": "L_INFTY",
            "value": 0.5,
            "threshold": 0.2,
        }
    ]


@pytest.mark.parametrize(
    ("comparator", "formula"),
    [
        (
            "infinity_norm",
            lambda p, q: max(abs(p[v] / p.total() - q[v] / q.total()) for v in p | q),
        ),
        (
            "jensen_shannon_divergence",
            lambda p, q: sum(
                one[v]
                / one.total()
                * math.log2(2 * one[v] / one.total() / (p[v] / p.total() + q[v] / q.total()))
                / 2
                for one in (p, q)
                for v in one
            ),
        ),
        (
            "normalized_abs_difference",
            lambda p, q: max(abs(p[v] - q[v]) for v in p | q) / (p.total() + q.total()),
        ),
    ],
)
def test_the_measurement_equals_the_formula(tmp_path: Path, comparator: str, formula: Any) -> None:
    one = {"carrier": ["AA"] * 6 + ["UA"] * 2}
    other = {"carrier": ["AA"] + ["UA"] * 2 + ["B6"] * 7}
    schema = schema_of(one)
    getattr(tfdv.get_feature(schema, "carrier").skew_comparator, comparator).threshold = 1.0
    context = validate(tmp_path, {"train": one}, schema, serving={"train": other})
    recorded = context.output("anomalies", ExampleAnomalies).custom_properties["drift_skew"]
    (measured,) = json.loads(str(recorded))
    expected = formula(Counter(one["carrier"]), Counter(other["carrier"]))
    assert measured["kind"] == "skew"
    assert measured["value"] == pytest.approx(expected)


def test_skew_between_two_splits_of_the_same_data(tmp_path: Path) -> None:
    schema = schema_of(GOOD)
    tfdv.get_feature(schema, "carrier").skew_comparator.infinity_norm.threshold = 0.1
    splits: dict[str, Columns] = {"train": GOOD, "eval": {**GOOD, "carrier": ["AA"] * 4}}
    context = validate(
        tmp_path, splits, schema, serving=splits, include_split_pairs=[("train", "eval")]
    )
    assert any(note.startswith("skew of carrier in train") for note in context.notes)
    assert not any("in eval" in note for note in context.notes)


def test_a_pair_of_unknown_splits_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="no split 'evl'; did you mean 'eval'"):
        validate(
            tmp_path,
            {"train": GOOD, "eval": GOOD},
            schema_of(GOOD),
            serving={"eval": GOOD},
            include_split_pairs=[("train", "evl")],
        )


def test_a_custom_condition_is_checked(tmp_path: Path) -> None:
    config = custom_validation_config_pb2.CustomValidationConfig()
    checked = config.feature_validations.add()
    checked.feature_path.step.append("distance")
    checked.validations.add(
        sql_expression="feature.num_stats.max < 1000",
        severity=anomalies_pb2.AnomalyInfo.ERROR,
        description="no flight is longer than 1,000 miles",
    )
    with pytest.raises(ValidationError, match=r"no flight is longer than 1,000 miles"):
        validate(
            tmp_path,
            {"train": GOOD},
            schema_of(GOOD),
            custom_validation_config=config,
            fail_on="ERROR",
        )
