"""ExampleValidator reports comparators that could not be evaluated, which TFDV skips silently."""

from pathlib import Path
from typing import Any

import pytest
import tensorflow_data_validation as tfdv
from support.statistics_on_disk import Columns, statistics_of, write_statistics
from support.validating import GOOD, anomalies_of, schema_of, validate
from tensorflow_data_validation.anomalies.proto import custom_validation_config_pb2
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from prodml.artifacts import ExampleAnomalies, ExampleStatistics, Schema
from prodml.components.example_validator.component import ExampleValidator
from prodml.dsl.channel import Channel
from prodml.errors import DefinitionError, ValidationError

_Info = anomalies_pb2.AnomalyInfo
NAN = float("nan")


def compared(
    feature: str = "carrier",
    measure: str = "infinity_norm",
    kind: str = "drift",
    of: Columns = GOOD,
) -> Any:
    """A schema with a comparator for one feature."""
    schema = schema_of(of)
    comparator = getattr(tfdv.get_feature(schema, feature), f"{kind}_comparator")
    getattr(comparator, measure).threshold = 0.2
    return schema


def only_anomaly(tmp_path: Path, schema: Any, **given: Any) -> tuple[str, str]:
    """The severity and description of the only anomaly of split train."""
    context = validate(tmp_path, {"train": given.pop("train", GOOD)}, schema, **given)
    anomalies = anomalies_of(context, "train")
    infos = [*anomalies.anomaly_info.values()]
    if anomalies.HasField("dataset_anomaly_info"):
        infos.append(anomalies.dataset_anomaly_info)
    [info] = infos
    assert any(info.description in note for note in context.notes)
    return _Info.Severity.Name(info.severity), info.description


@pytest.mark.parametrize("kind", ["drift", "skew"])
def test_on_a_first_run_there_is_nothing_to_compare_with_and_it_is_a_warning(
    tmp_path: Path, kind: str
) -> None:
    key = {"drift": "previous_statistics", "skew": "serving_statistics"}[kind]
    severity, description = only_anomaly(tmp_path, compared(kind=kind), fail_on="ERROR")
    assert severity == "WARNING"
    assert description == f"{kind} of `carrier` was not checked: {key} is not available"


def test_a_first_run_can_be_made_to_fail(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="drift of `carrier` was not checked"):
        validate(tmp_path, {"train": GOOD}, compared(), fail_on="ERROR", unchecked_severity="ERROR")


def test_a_split_with_unchecked_comparators_is_not_blessed(tmp_path: Path) -> None:
    context = validate(tmp_path, {"train": GOOD}, compared())
    output = context.output("anomalies", ExampleAnomalies)
    assert output.custom_properties["blessed"] == '{"train": 0}'
    assert "no anomalies" not in context.notes


def test_statistics_without_splits_are_an_error_with_advice(tmp_path: Path) -> None:
    previous = ExampleStatistics(
        uri=str(tmp_path),
        id=7,
        custom_properties={
            "producer_component": "Transform",
            "output_key": "pre_transform_stats",
        },
    )
    severity, description = only_anomaly(tmp_path, compared(), previous=[previous])
    assert severity == "ERROR"
    assert "artifact 7, Transform.pre_transform_stats) has no splits" in description
    assert 'producer_component_id="StatisticsGen"' in description


def test_a_split_that_was_renamed_is_an_error(tmp_path: Path) -> None:
    severity, description = only_anomaly(tmp_path, compared(), previous={"training": GOOD})
    assert severity == "ERROR"
    assert "has no split 'train', only 'training'" in description
    assert "include_split_pairs" in description


@pytest.mark.parametrize(
    ("schema", "previous", "train", "reason"),
    [
        (compared(), {"distance": [1, 2]}, GOOD, "has no values of the feature"),
        (compared(), {"carrier": [], "distance": []}, GOOD, "has no rows"),
        (
            compared("distance", "jensen_shannon_divergence"),
            {**GOOD, "distance": ["near", "far", "far", "far"]},
            GOOD,
            "the feature is INT, but STRING in previous_statistics",
        ),
        (
            compared("distance", "infinity_norm"),
            {**GOOD, "distance": [1, 2, 3, 4]},
            GOOD,
            "infinity_norm compares how often each value occurs",
        ),
        (
            compared("distance", "normalized_abs_difference"),
            {**GOOD, "distance": [1, 2, 3, 4]},
            GOOD,
            "use jensen_shannon_divergence",
        ),
        (
            compared("distance", "jensen_shannon_divergence", of={"distance": [1.0]}),
            {"distance": [NAN, NAN]},
            {"distance": [1.0, 2.0]},
            "jensen_shannon_divergence needs a histogram of the values, which are all NaN",
        ),
    ],
    ids=["feature gone", "no rows", "other type", "L-infinity", "normalized", "NaN"],
)
def test_incomparable_statistics_are_an_error(
    tmp_path: Path, schema: Any, previous: Columns, train: Columns, reason: str
) -> None:
    severity, description = only_anomaly(
        tmp_path, schema, previous={"train": previous}, train=train
    )
    assert severity == "ERROR"
    assert " was not checked: " in description
    assert reason in description
    context = validate(tmp_path / "again", {"train": train}, schema, previous={"train": previous})
    assert not any("within the threshold" in note for note in context.notes)


def test_the_severity_of_incomparable_statistics_can_be_lowered(tmp_path: Path) -> None:
    severity, _ = only_anomaly(
        tmp_path, compared(), previous={"train": {"distance": [1]}}, unchecked_severity="WARNING"
    )
    assert severity == "WARNING"


def test_a_column_without_a_value_on_either_side_is_a_warning(tmp_path: Path) -> None:
    schema = compared()
    tfdv.get_feature(schema, "carrier").presence.min_count = 0
    tfdv.get_feature(schema, "carrier").presence.ClearField("min_fraction")
    rows: Columns = {"distance": [1, 2]}
    severity, description = only_anomaly(tmp_path, schema, previous={"train": rows}, train=rows)
    assert severity == "WARNING"
    assert "drift of `carrier` was not checked" in description


def test_a_comparator_without_a_threshold_is_an_error(tmp_path: Path) -> None:
    schema = schema_of(GOOD)
    tfdv.get_feature(schema, "carrier").drift_comparator.SetInParent()
    severity, description = only_anomaly(tmp_path, schema, previous={"train": GOOD})
    assert severity == "ERROR"
    assert "its drift_comparator in the schema has no threshold" in description


def test_an_unchecked_feature_inside_of_a_struct_is_reported(tmp_path: Path) -> None:
    schema = schema_of(GOOD)
    outer = schema.feature.add(name="trip", type=schema_pb2.STRUCT)
    outer.presence.min_count = 0
    inner = outer.struct_domain.feature.add(name="gate", type=schema_pb2.BYTES)
    inner.presence.min_count = 0
    inner.drift_comparator.infinity_norm.threshold = 0.1
    _, description = only_anomaly(tmp_path, schema)
    assert description.startswith("drift of `trip.gate` was not checked")


def test_a_feature_that_is_not_in_production_is_not_compared_on_purpose(tmp_path: Path) -> None:
    schema = compared()
    tfdv.get_feature(schema, "carrier").lifecycle_stage = schema_pb2.DEPRECATED
    context = validate(tmp_path, {"train": GOOD}, schema)
    assert context.notes == ["no anomalies"]


def test_a_split_left_out_of_the_pairs_is_not_compared_on_purpose(tmp_path: Path) -> None:
    context = validate(
        tmp_path,
        {"train": GOOD, "eval": GOOD},
        compared(),
        previous={"train": GOOD},
        include_split_pairs=[("train", "train")],
    )
    assert not anomalies_of(context, "eval").anomaly_info
    assert any(note.startswith("drift of carrier in train") for note in context.notes)


def test_an_empty_list_of_pairs_is_rejected() -> None:
    with pytest.raises(DefinitionError, match="nothing would be compared"):
        ExampleValidator(
            statistics=Channel(type=ExampleStatistics),
            schema=Channel(type=Schema),
            include_split_pairs=[],
        )


def test_a_number_of_examples_without_a_previous_one_is_not_checked(tmp_path: Path) -> None:
    schema = schema_of(GOOD)
    schema.dataset_constraints.num_examples_drift_comparator.min_fraction_threshold = 0.9
    severity, description = only_anomaly(tmp_path, schema)
    assert severity == "WARNING"
    assert description == (
        "drift of the number of examples was not checked: previous_statistics is not available"
    )


def test_numbers_of_examples_of_a_sample_and_of_all_rows_are_not_compared(
    tmp_path: Path,
) -> None:
    schema = schema_of(GOOD)
    schema.dataset_constraints.num_examples_drift_comparator.min_fraction_threshold = 0.9
    previous = write_statistics(tmp_path / "sampled", {"train": GOOD})
    previous.custom_properties["sample_rate"] = 0.1
    severity, description = only_anomaly(tmp_path, schema, previous=[previous])
    assert severity == "ERROR"
    assert "these statistics have a sample_rate of 1, but previous_statistics" in description


def test_a_version_comparator_is_not_checked_and_names_the_drift_comparator(tmp_path: Path) -> None:
    schema = schema_of(GOOD)
    schema.dataset_constraints.num_examples_version_comparator.min_fraction_threshold = 0.9
    severity, description = only_anomaly(tmp_path, schema, previous={"train": GOOD})
    assert severity == "WARNING"
    assert "set num_examples_drift_comparator instead" in description


def test_statistics_compared_with_themselves_are_an_error(tmp_path: Path) -> None:
    """A repeated run must not pass because its statistics have no drift from themselves."""
    itself = ExampleStatistics(uri=str(tmp_path / "statistics"), id=3)
    itself.split_names = ["train"]
    severity, description = only_anomaly(tmp_path, compared(), previous=[itself])
    assert severity == "ERROR"
    assert '"desired_num_of_artifacts": 2' in description


def test_the_newest_statistics_with_other_content_are_compared(tmp_path: Path) -> None:
    itself = ExampleStatistics(uri=str(tmp_path / "statistics"))
    itself.split_names = ["train"]
    changed: Columns = {**GOOD, "carrier": ["AA"] * 4}
    earlier = write_statistics(tmp_path / "earlier", {"train": changed})
    with pytest.raises(ValidationError, match="The Linfty distance"):
        validate(tmp_path, {"train": GOOD}, compared(), previous=[itself, earlier], fail_on="ERROR")


def test_a_condition_on_two_statistics_is_not_checked_on_a_first_run(tmp_path: Path) -> None:
    config = custom_validation_config_pb2.CustomValidationConfig()
    pair = config.feature_pair_validations.add()
    pair.feature_test_path.step.append("distance")
    pair.feature_base_path.step.append("distance")
    pair.validations.add(
        sql_expression="feature_test.num_stats.max <= feature_base.num_stats.max",
        severity=_Info.ERROR,
    )
    severity, description = only_anomaly(tmp_path, schema_of(GOOD), custom_validation_config=config)
    assert severity == "WARNING"
    assert description.startswith("custom condition of `distance` was not checked")
    context = validate(
        tmp_path / "second",
        {"train": GOOD},
        schema_of(GOOD),
        previous={"train": GOOD},
        custom_validation_config=config,
    )
    assert context.notes == ["no anomalies"]


def test_a_condition_of_an_environment_is_not_checked(tmp_path: Path) -> None:
    config = custom_validation_config_pb2.CustomValidationConfig()
    checked = config.feature_validations.add()
    checked.feature_path.step.append("distance")
    validation = checked.validations.add(
        sql_expression="feature.num_stats.max < 0", severity=_Info.ERROR
    )
    validation.in_environment.append("SERVING")
    severity, description = only_anomaly(tmp_path, schema_of(GOOD), custom_validation_config=config)
    assert severity == "WARNING"
    assert "restricted to the environment SERVING" in description


def test_other_anomalies_of_tfdv_are_kept(tmp_path: Path) -> None:
    rows: Columns = {**GOOD, "carrier": ["AA", "ZZ", "UA", "UA"]}
    _, description = only_anomaly(tmp_path, compared(), train=rows)
    found = tfdv.validate_statistics(statistics_of(rows), schema_of(GOOD))
    assert found.anomaly_info["carrier"].description in description
    assert "drift of `carrier` was not checked" in description
