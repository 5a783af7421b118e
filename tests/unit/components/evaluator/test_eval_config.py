"""The dataclasses of eval_config match TFMA's messages."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from prodml.artifacts import Examples, Model
from prodml.components.evaluator import eval_config
from prodml.components.evaluator.component import Evaluator
from prodml.components.evaluator.configuration import complete, read_eval_config
from prodml.components.evaluator.eval_config import (
    AggregationOptions,
    BinarizationOptions,
    CrossSliceMetricThreshold,
    CrossSlicingSpec,
    EvalConfig,
    GenericChangeThreshold,
    GenericValueThreshold,
    MetricConfig,
    MetricDirection,
    MetricsSpec,
    MetricThreshold,
    ModelSpec,
    Options,
    PaddingOptions,
    PerSliceMetricThreshold,
    PerSliceMetricThresholds,
    RepeatedInt32Value,
    RepeatedStringValue,
    SlicingSpec,
)
from prodml.components.evaluator.tfma import config_pb2
from prodml.dsl.channel import Channel
from prodml.dsl.parameters import decode
from prodml.errors import DefinitionError, InputDataError, ModelContractError

JFK = SlicingSpec(feature_values={"origin": "JFK"})
CHANGE = MetricThreshold(
    change_threshold=GenericChangeThreshold(
        absolute=-0.01, direction=MetricDirection.HIGHER_IS_BETTER
    )
)
FULL = EvalConfig(
    model_specs=[
        ModelSpec(
            label_key="is_late",
            preprocessing_function_names=["transform_features"],
            padding_options=PaddingOptions(label_int_padding=-1),
        )
    ],
    slicing_specs=[SlicingSpec(feature_keys=["carrier"]), JFK],
    cross_slicing_specs=[CrossSlicingSpec(baseline_spec=SlicingSpec(), slicing_specs=[JFK])],
    metrics_specs=[
        MetricsSpec(
            metrics=[
                MetricConfig(
                    class_name="AUC",
                    config='{"num_thresholds": 100}',
                    threshold=MetricThreshold(
                        value_threshold=GenericValueThreshold(lower_bound=0.0),
                        change_threshold=CHANGE.change_threshold,
                    ),
                    per_slice_thresholds=[PerSliceMetricThreshold([JFK], CHANGE)],
                    cross_slice_thresholds=[
                        CrossSliceMetricThreshold([CrossSlicingSpec(JFK, [JFK])], CHANGE)
                    ],
                )
            ],
            binarize=BinarizationOptions(class_ids=RepeatedInt32Value([0, 1])),
            aggregate=AggregationOptions(macro_average=True, class_weights={1: 0.5}),
            per_slice_thresholds={
                "auc": PerSliceMetricThresholds([PerSliceMetricThreshold([JFK], CHANGE)])
            },
        )
    ],
    options=Options(min_slice_size=2, disabled_outputs=RepeatedStringValue(["plots"])),
)


@pytest.mark.parametrize(
    "mirror",
    [c for c in vars(eval_config).values() if dataclasses.is_dataclass(c)],
    ids=lambda mirror: mirror.__name__,
)
def test_every_message_has_tfmas_fields(mirror: Any) -> None:
    message = config_pb2.DESCRIPTOR.message_types_by_name[mirror.__name__]
    assert {f.name for f in dataclasses.fields(mirror)} == {f.name for f in message.fields}


def test_enum_values_are_tfmas() -> None:
    assert set(eval_config.MetricDirection) == set(config_pb2.MetricDirection.keys())


def test_a_config_survives_a_round_trip_through_tfmas_proto() -> None:
    proto = read_eval_config(FULL)
    assert proto.metrics_specs[0].metrics[0].threshold.value_threshold.HasField("lower_bound")
    evaluator = Evaluator(
        examples=Channel(type=Examples), model=Channel(type=Model), eval_config=proto
    )
    declared = evaluator.signature.parameters["eval_config"].type
    assert decode(declared, evaluator.parameters["eval_config"]) == FULL


@pytest.mark.parametrize("suffix", ["json", "pbtxt"])
def test_a_config_survives_a_round_trip_through_a_file(suffix: str, tmp_path: Path) -> None:
    proto = read_eval_config(FULL)
    path = tmp_path / f"config.{suffix}"
    path.write_text(json_format.MessageToJson(proto) if suffix == "json" else str(proto))
    assert read_eval_config(str(path)) == proto


def test_a_missing_or_invalid_eval_config_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match=r"gone.json: the file does not exist"):
        read_eval_config(str(tmp_path / "gone.json"))
    (tmp_path / "bad.json").write_text('{"model_spec": []}')
    with pytest.raises(InputDataError, match=r"bad.json: expected an EvalConfig as JSON.*_spec"):
        read_eval_config(str(tmp_path / "bad.json"))
    (tmp_path / "bad.pbtxt").write_text("model_spec {}")
    with pytest.raises(InputDataError, match=r"bad.pbtxt: expected an EvalConfig as text proto"):
        read_eval_config(str(tmp_path / "bad.pbtxt"))


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("deep.json", b"\n" + b"[" * 5000, "line 2 column 101"),
        ("deep.pbtxt", b"\n" + b"metrics_specs {" * 5000, "2:1515"),
        ("latin.pbtxt", b"\xff", "byte"),
    ],
)
def test_a_file_that_nests_too_deeply_or_is_not_text_is_named(
    tmp_path: Path, name: str, content: bytes, where: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputDataError, match=rf"{name}: expected an EvalConfig.*{where}"):
        read_eval_config(str(tmp_path / name))


def test_an_unknown_argument_is_rejected_at_definition() -> None:
    with pytest.raises(DefinitionError, match="eval_config"):
        Evaluator(examples=Channel(type=Examples), model=Channel(type=Model), eval_config=3)


def test_without_a_baseline_change_thresholds_are_dropped_and_listed() -> None:
    alone = complete(read_eval_config(FULL), has_baseline=False)
    assert alone.unchecked_changes == ("AUC", "auc")
    assert "change_threshold" not in str(alone.config)
    assert len(alone.config.model_specs) == 1
    compared = complete(read_eval_config(FULL), has_baseline=True)
    assert compared.unchecked_changes == ()
    assert [spec.name for spec in compared.config.model_specs] == ["candidate", "baseline"]


def test_all_rows_and_the_slices_of_thresholds_are_always_evaluated() -> None:
    auc = MetricConfig(
        class_name="AUC", per_slice_thresholds=[PerSliceMetricThreshold([JFK], CHANGE)]
    )
    config = EvalConfig(
        slicing_specs=[SlicingSpec(feature_keys=["carrier"])],
        metrics_specs=[MetricsSpec(metrics=[auc])],
    )
    completed = complete(read_eval_config(config), has_baseline=True).config
    expected = read_eval_config(
        EvalConfig(slicing_specs=[SlicingSpec(feature_keys=["carrier"]), SlicingSpec(), JFK])
    )
    assert list(completed.slicing_specs) == list(expected.slicing_specs)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (MetricConfig(class_name="AUCC"), "metric 'AUCC': expected a metric of TFMA or Keras"),
        (MetricConfig(class_name="AUC", config="{bad"), "metric 'AUC': .* got: Expecting"),
        (MetricConfig(class_name="AUC", config='{"nope": 1}'), "metric 'AUC': .*'nope'"),
        (MetricConfig(class_name="Foo", module="no.such"), "metric 'Foo': .*No module named 'no'"),
        (
            MetricConfig(
                class_name="AUC",
                threshold=MetricThreshold(change_threshold=GenericChangeThreshold(absolute=0.1)),
            ),
            "change_threshold of metric 'AUC' has no direction",
        ),
        (
            MetricConfig(
                class_name="AUC",
                threshold=MetricThreshold(value_threshold=GenericValueThreshold()),
            ),
            "value_threshold of metric 'AUC' has no bound, so every value would pass",
        ),
        (
            MetricConfig(
                class_name="AUC",
                threshold=MetricThreshold(
                    change_threshold=GenericChangeThreshold(
                        direction=MetricDirection.HIGHER_IS_BETTER
                    )
                ),
            ),
            "change_threshold of metric 'AUC' has no bound, so every change would pass",
        ),
        (
            MetricConfig(class_name="AUC", per_slice_thresholds=[PerSliceMetricThreshold()]),
            "eval_config: slicing_specs must be set",
        ),
    ],
)
def test_a_metric_that_cannot_be_computed_is_named(metric: MetricConfig, message: str) -> None:
    config = EvalConfig(metrics_specs=[MetricsSpec(metrics=[metric])])
    with pytest.raises(InputDataError, match=message):
        complete(read_eval_config(config), has_baseline=True)


def test_models_are_called_by_signature() -> None:
    [spec] = complete(read_eval_config(EvalConfig()), has_baseline=False).config.model_specs
    assert (spec.model_type, spec.signature_name) == ("tf_generic", "serving_default")
    keras = EvalConfig(model_specs=[ModelSpec(model_type="tf_keras")])
    with pytest.raises(ModelContractError, match="expected 'tf_generic' or none, got 'tf_keras'"):
        complete(read_eval_config(keras), has_baseline=False)


def test_a_named_model_spec_is_compared_with_a_baseline() -> None:
    config = EvalConfig(model_specs=[ModelSpec(name="late", label_key="is_late")])
    completed = complete(read_eval_config(config), has_baseline=True).config
    assert [(spec.name, spec.is_baseline) for spec in completed.model_specs] == [
        ("late", False),
        ("baseline", True),
    ]


@pytest.mark.parametrize(
    "specs",
    [
        [ModelSpec(name="one"), ModelSpec(name="two")],
        [ModelSpec(name="old", is_baseline=True)],
        [ModelSpec(), ModelSpec(name="a", is_baseline=True), ModelSpec(name="b", is_baseline=True)],
    ],
)
def test_model_specs_need_one_new_model_and_at_most_one_baseline(specs: list[ModelSpec]) -> None:
    with pytest.raises(InputDataError, match="expected one ModelSpec of the new model and at most"):
        complete(read_eval_config(EvalConfig(model_specs=specs)), has_baseline=True)
