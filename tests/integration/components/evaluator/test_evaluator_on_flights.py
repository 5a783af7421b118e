"""Evaluator on real flights and a real Keras 3 model, in both payload formats."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from support.flight_rows import flight_examples, flight_rows, flight_schema
from support.late_flights import build, export, model_inputs
from support.running import execute

from prodml.artifacts import Examples, Model, ModelBlessing, Schema
from prodml.components.evaluator.component import Evaluator
from prodml.components.evaluator.eval_config import (
    EvalConfig,
    GenericChangeThreshold,
    GenericValueThreshold,
    MetricConfig,
    MetricDirection,
    MetricsSpec,
    MetricThreshold,
    ModelSpec,
    PerSliceMetricThreshold,
    SlicingSpec,
)
from prodml.components.evaluator.tfma import model_eval_lib as tfma
from prodml.data.examples_layout import PayloadFormat
from prodml.data.writers import ExamplesWriter
from prodml.dsl.channel import Channel
from prodml.dsl.executor import ExecutorContext
from prodml.errors import InputDataError, ModelContractError, ValidationError

TRAIN, EVAL = 400, 200


@pytest.fixture(scope="module")
def trained() -> Any:
    keras.utils.set_random_seed(1)
    model = build()
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="binary_crossentropy")
    inputs, labels = _inputs(0, TRAIN)
    model.fit(inputs, labels, epochs=20, batch_size=32, verbose=0)
    return model


@pytest.fixture(scope="module")
def model(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return _exported(trained, tmp_path_factory.mktemp("candidate"), id=2)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Model:
    keras.utils.set_random_seed(2)
    return _exported(build(), tmp_path_factory.mktemp("untrained"), id=1)


@pytest.fixture(scope="module", params=list(PayloadFormat))
def examples(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Examples:
    directory = tmp_path_factory.mktemp("flights") / "examples"
    return flight_examples(directory, request.param, TRAIN, EVAL)


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    directory = tmp_path_factory.mktemp("parquet") / "examples"
    return flight_examples(directory, PayloadFormat.PARQUET, TRAIN, EVAL)


def test_metrics_equal_a_slow_computation_overall_and_per_slice(
    trained: Any, model: Model, examples: Examples, tmp_path: Path
) -> None:
    config = EvalConfig(
        model_specs=[ModelSpec(label_key="is_late")],
        slicing_specs=[
            SlicingSpec(feature_keys=["origin"]),
            SlicingSpec(feature_keys=["carrier", "origin"]),
        ],
        metrics_specs=[_metrics(MetricConfig(class_name="AUC"))],
    )
    context = _evaluate(config, tmp_path, examples=examples, model=model)

    inputs, labels = _inputs(TRAIN, EVAL)
    scores = trained.predict(inputs, verbose=0)[:, 0]
    rows = flight_rows(TRAIN, EVAL).to_pydict()
    origins, carriers = np.array(rows["origin"]), np.array(rows["carrier"])
    seen = _by_slice(context)
    expected = {(): np.ones(EVAL, bool)}
    for origin in set(origins):
        expected[(("origin", origin.decode()),)] = origins == origin
        for carrier in set(carriers[origins == origin]):
            crossed = (("carrier", carrier.decode()), ("origin", origin.decode()))
            expected[crossed] = (origins == origin) & (carriers == carrier)
    assert seen.keys() == expected.keys()
    for key, mask in expected.items():
        assert seen[key]["example_count"] == mask.sum()
        accuracy = np.mean((scores[mask] > 0.5) == labels[mask])
        assert seen[key]["binary_accuracy"] == pytest.approx(accuracy)
        if 0 < labels[mask].sum() < mask.sum():
            # TFMA integrates over 10,000 thresholds.
            assert seen[key]["auc"] == pytest.approx(_auc(scores[mask], labels[mask]), abs=0.01)
    assert context.row_counts[0].read == context.row_counts[0].written == EVAL


def test_a_model_over_its_value_threshold_is_blessed_with_the_figure(
    model: Model, parquet: Examples, tmp_path: Path
) -> None:
    context = _evaluate(_with_threshold(_at_least(0.4)), tmp_path, examples=parquet, model=model)
    blessing = context.output("blessing", ModelBlessing)
    assert os.listdir(blessing.uri) == ["BLESSED"]
    assert blessing.is_blessed
    assert blessing.custom_properties["current_model"] == model.uri
    assert blessing.custom_properties["current_model_id"] == 2
    reason = str(blessing.custom_properties["reason"])
    assert reason.startswith("auc 0.")
    assert "is at least 0.4" in reason
    assert "no baseline: only value thresholds were checked" in reason
    assert context.notes == [f"blessed: {reason}"]


def test_a_model_under_its_value_threshold_is_not_blessed(
    model: Model, parquet: Examples, tmp_path: Path
) -> None:
    context = _evaluate(_with_threshold(_at_least(0.99)), tmp_path, examples=parquet, model=model)
    blessing = context.output("blessing", ModelBlessing)
    assert os.listdir(blessing.uri) == ["NOT_BLESSED"]
    assert blessing.custom_properties["blessed"] == 0
    assert "is not at least 0.99" in str(blessing.custom_properties["reason"])


def test_change_thresholds_compare_with_the_baseline(
    model: Model, untrained: Model, parquet: Examples, tmp_path: Path
) -> None:
    better = _with_threshold(_change_of_at_least(0.0))
    context = _evaluate(better, tmp_path, examples=parquet, model=model, baseline_model=untrained)
    blessing = context.output("blessing", ModelBlessing)
    assert blessing.is_blessed
    assert blessing.custom_properties["baseline_model"] == untrained.uri
    assert blessing.custom_properties["baseline_model_id"] == 1
    reason = str(blessing.custom_properties["reason"])
    assert reason.startswith("auc changed by +0.")
    assert "from the baseline's 0." in reason

    swapped = _evaluate(
        better, tmp_path, examples=parquet, model=untrained, baseline_model=model
    ).output("blessing", ModelBlessing)
    assert not swapped.is_blessed
    assert "auc changed by -0." in str(swapped.custom_properties["reason"])
    assert "is not at least +0" in str(swapped.custom_properties["reason"])


def test_a_threshold_on_an_unlisted_slice_is_checked(
    model: Model, parquet: Examples, tmp_path: Path
) -> None:
    config = _with_slice_threshold(SlicingSpec(feature_values={"origin": "JFK"}))
    context = _evaluate(config, tmp_path, examples=parquet, model=model)
    reason = str(context.output("blessing", ModelBlessing).custom_properties["reason"])
    assert reason.startswith("auc of origin=JFK 0.")


def test_a_threshold_on_a_slice_without_rows_is_an_error(
    model: Model, parquet: Examples, tmp_path: Path
) -> None:
    config = _with_slice_threshold(SlicingSpec(feature_values={"origin": "SFO"}))
    with pytest.raises(ValidationError, match="slice without rows: origin=SFO"):
        _evaluate(config, tmp_path, examples=parquet, model=model)


def test_labels_and_slices_may_come_from_a_preprocessing_function(
    model: Model, examples: Examples, tmp_path: Path
) -> None:
    spec = ModelSpec(label_key="is_late_xf", preprocessing_function_names=["transform_features"])
    config = EvalConfig(
        model_specs=[spec],
        slicing_specs=[SlicingSpec(feature_keys=["is_evening"])],
        metrics_specs=[_metrics(MetricConfig(class_name="AUC"))],
    )
    seen = _by_slice(_evaluate(config, tmp_path, examples=examples, model=model))
    hours = np.array(flight_rows(TRAIN, EVAL).to_pydict()["hour"])
    assert seen[(("is_evening", 1),)]["example_count"] == (hours >= 17).sum()
    assert seen[()]["example_count"] == EVAL


def test_a_signature_of_raw_tensors_evaluates_the_same(
    model: Model, examples: Examples, tmp_path: Path
) -> None:
    def auc(signature: str) -> float:
        spec = ModelSpec(label_key="is_late", signature_name=signature)
        metrics = [_metrics(MetricConfig(class_name="AUC"))]
        config = EvalConfig(model_specs=[spec], metrics_specs=metrics)
        return _by_slice(_evaluate(config, tmp_path, examples=examples, model=model))[()]["auc"]

    assert auc("serving_raw") == pytest.approx(auc("serving_default"))


@pytest.mark.parametrize("suffix", ["json", "pbtxt"])
def test_eval_config_may_be_a_file(
    suffix: str, model: Model, parquet: Examples, tmp_path: Path
) -> None:
    metrics = {"class_name": "AUC", "threshold": {"value_threshold": {"lower_bound": 0.99}}}
    config = {"model_specs": [{"label_key": "is_late"}], "metrics_specs": [{"metrics": [metrics]}]}
    text = """
        model_specs { label_key: "is_late" }
        metrics_specs {
          metrics {
            class_name: "AUC"
            threshold { value_threshold { lower_bound { value: 0.99 } } }
          }
        }
    """
    path = tmp_path / f"eval_config.{suffix}"
    path.write_text(json.dumps(config) if suffix == "json" else text)
    context = _evaluate(str(path), tmp_path, examples=parquet, model=model)
    assert not context.output("blessing", ModelBlessing).is_blessed


def test_a_label_that_the_examples_lack_is_reported(
    model: Model, parquet: Examples, tmp_path: Path
) -> None:
    config = EvalConfig(model_specs=[ModelSpec(label_key="is_lat")], metrics_specs=[_metrics()])
    with pytest.raises(ModelContractError, match=r"label_key 'is_lat': expected.*mean 'is_late'"):
        _evaluate(config, tmp_path, examples=parquet, model=model)


def test_a_signature_that_the_model_lacks_is_reported(
    model: Model, parquet: Examples, tmp_path: Path
) -> None:
    spec = ModelSpec(label_key="is_late", signature_name="predict")
    config = EvalConfig(model_specs=[spec], metrics_specs=[_metrics()])
    expected = r"expected a signature 'predict', got serving_default, serving_raw, transform_feat"
    with pytest.raises(ModelContractError, match=expected):
        _evaluate(config, tmp_path, examples=parquet, model=model)


@pytest.mark.parametrize(
    ("parsed", "message"),
    [
        (
            {"gate": tf.io.FixedLenFeature([1], tf.float32)},
            r"requires the feature 'gate' \(float\) in every example",
        ),
        (
            {"hour": tf.io.FixedLenFeature([1], tf.float32)},
            r"parses the feature 'hour' with a type that differs from the examples: .*int64",
        ),
        (
            {"hour": tf.io.FixedLenFeature([2], tf.int64)},
            r"expects a different number of values in the feature 'hour'",
        ),
    ],
)
def test_a_missing_feature_that_only_the_graph_requires_is_reported(
    parsed: Any, message: str, parquet: Examples, tmp_path: Path
) -> None:
    class Other(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def serve(self, examples: Any) -> Any:
            return {"outputs": next(iter(tf.io.parse_example(examples, parsed).values()))}

    other = Other()
    directory = str(tmp_path / "other" / "Format-Serving")
    tf.saved_model.save(other, directory, signatures={"serving_default": other.serve})
    model = Model(uri=str(tmp_path / "other"))
    with pytest.raises(ModelContractError, match=message):
        _evaluate(_with_threshold(None), tmp_path, examples=parquet, model=model)


def test_an_input_of_a_signature_that_the_examples_lack_is_reported(
    parquet: Examples, tmp_path: Path
) -> None:
    class Other(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="gate")])
        def serve(self, gate: Any) -> Any:
            return {"outputs": gate}

    other = Other()
    directory = str(tmp_path / "other" / "Format-Serving")
    tf.saved_model.save(other, directory, signatures={"serving_default": other.serve})
    model = Model(uri=str(tmp_path / "other"))
    with pytest.raises(ModelContractError, match=r"expects the feature\(s\) gate, got examples"):
        _evaluate(_with_threshold(None), tmp_path, examples=parquet, model=model)


def test_a_slice_feature_that_the_examples_lack_is_reported(
    model: Model, parquet: Examples, tmp_path: Path
) -> None:
    config = EvalConfig(
        model_specs=[ModelSpec(label_key="is_late")],
        slicing_specs=[SlicingSpec(feature_keys=["terminal"])],
        metrics_specs=[_metrics()],
    )
    with pytest.raises(ModelContractError, match="slice 'terminal': expected a feature"):
        _evaluate(config, tmp_path, examples=parquet, model=model)


def test_a_required_feature_of_the_schema_that_no_row_has_is_reported(
    model: Model, parquet: Examples, tmp_path: Path
) -> None:
    schema = flight_schema(tmp_path / "schema")
    with open(schema.schema_path, "a") as file:
        file.write('feature { name: "gate" type: BYTES presence { min_fraction: 1 } }')
    with pytest.raises(ModelContractError, match=r"requires the feature\(s\) gate, got examples"):
        _evaluate(_with_threshold(None), tmp_path, examples=parquet, model=model, schema=schema)


def test_a_split_that_the_examples_lack_is_reported(
    model: Model, parquet: Examples, tmp_path: Path
) -> None:
    with pytest.raises(InputDataError, match="expected a split 'test'.*got train, eval"):
        _evaluate(_with_threshold(None), tmp_path, splits=["test"], examples=parquet, model=model)


@pytest.mark.parametrize("missing", [None, math.nan], ids=["no value", "NaN"])
def test_rows_without_a_label_are_skipped_and_counted(
    missing: float | None, model: Model, tmp_path: Path
) -> None:
    rows = flight_rows(0, 50)
    labels = pa.array([missing] * 20 + rows.column(0).to_pylist()[20:], pa.float32())
    examples = Examples(uri=str(tmp_path))
    with ExamplesWriter(examples, ["eval"], PayloadFormat.PARQUET) as writer:
        writer.write(
            "eval", pa.RecordBatch.from_arrays([labels, *rows.columns[1:]], rows.schema.names)
        )
    context = _evaluate(_with_threshold(None), tmp_path, examples=examples, model=model)
    [counted] = context.row_counts
    assert (counted.read, counted.written, counted.dropped) == (50, 30, {"label missing": 20})
    assert context.notes[0] == "20 of 50 rows of split 'eval' have no label"
    assert _by_slice(context)[()]["example_count"] == 30


def test_imported_examples_need_no_row_counts(
    model: Model, parquet: Examples, tmp_path: Path
) -> None:
    imported = Examples(
        uri=parquet.uri,
        properties=parquet.properties,
        custom_properties={"payload_format": "FORMAT_PARQUET"},
    )
    context = _evaluate(_with_threshold(None), tmp_path, examples=imported, model=model)
    assert (context.row_counts[0].read, context.row_counts[0].written) == (EVAL, EVAL)


@pytest.mark.parametrize("payload", list(PayloadFormat))
def test_a_split_without_rows_is_reported(
    payload: PayloadFormat, model: Model, tmp_path: Path
) -> None:
    examples = flight_examples(tmp_path / "examples", payload, 10, 0)
    with pytest.raises(InputDataError, match=r"no rows to evaluate on in the split\(s\) eval"):
        _evaluate(_with_threshold(None), tmp_path, examples=examples, model=model)


def _evaluate(
    config: EvalConfig | str,
    tmp_path: Path,
    splits: list[str] | None = None,
    **inputs: Examples | Model | Schema,
) -> ExecutorContext:
    channels = {key: Channel(type=type(artifact)) for key, artifact in inputs.items()}
    evaluator = Evaluator(eval_config=config, example_splits=splits, **channels)
    return execute(evaluator, inputs, tmp_path)


def _exported(model: Any, directory: Path, id: int) -> Model:
    export(model, str(directory / "Format-Serving"))
    return Model(uri=str(directory), id=id)


def _inputs(first: int, count: int) -> tuple[Any, Any]:
    rows = flight_rows(first, count).to_pydict()
    features = {
        "distance": tf.constant(rows["distance"], shape=(count, 1)),
        "hour": tf.constant(rows["hour"], shape=(count, 1)),
        "origin": tf.constant(rows["origin"], shape=(count, 1)),
    }
    return model_inputs(features), np.array(rows["is_late"])


def _auc(scores: Any, labels: Any) -> float:
    """The share of (late, punctual) pairs that the scores put in the right order."""
    late, punctual = scores[labels == 1], scores[labels == 0]
    differences = late[:, None] - punctual[None, :]
    return float(np.mean((differences > 0) + 0.5 * (differences == 0)))


def _metrics(*metrics: MetricConfig) -> MetricsSpec:
    others = [MetricConfig(class_name="ExampleCount"), MetricConfig(class_name="BinaryAccuracy")]
    return MetricsSpec(metrics=[*metrics, *others])


def _with_threshold(threshold: MetricThreshold | None) -> EvalConfig:
    return EvalConfig(
        model_specs=[ModelSpec(label_key="is_late")],
        metrics_specs=[_metrics(MetricConfig(class_name="AUC", threshold=threshold))],
    )


def _with_slice_threshold(spec: SlicingSpec) -> EvalConfig:
    threshold = PerSliceMetricThreshold(slicing_specs=[spec], threshold=_at_least(0.01))
    auc = MetricConfig(class_name="AUC", per_slice_thresholds=[threshold])
    return EvalConfig(model_specs=[ModelSpec(label_key="is_late")], metrics_specs=[_metrics(auc)])


def _at_least(bound: float) -> MetricThreshold:
    return MetricThreshold(value_threshold=GenericValueThreshold(lower_bound=bound))


def _change_of_at_least(change: float) -> MetricThreshold:
    return MetricThreshold(
        change_threshold=GenericChangeThreshold(
            absolute=change, direction=MetricDirection.HIGHER_IS_BETTER
        )
    )


def _by_slice(context: ExecutorContext) -> dict[Any, dict[str, float]]:
    result = tfma.load_eval_result(context.outputs["evaluation"].uri)
    return {
        key: {name: value["doubleValue"] for name, value in metrics[""][""].items()}
        for key, metrics in result.slicing_metrics
    }
