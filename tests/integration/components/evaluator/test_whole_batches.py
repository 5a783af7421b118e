"""Whole batches and single rows give the same evaluation of real flights.

Both add 64-bit floats, but in a different order, so metrics agree to a relative 1e-6.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from google.protobuf import json_format
from support.flight_rows import flight_rows
from support.late_flights import build, export
from support.running import execute

from prodml.artifacts import Examples, Model
from prodml.beam.profiles import RunnerProfile
from prodml.components.evaluator.analysis import Columns, Split, SplitRows, analyze
from prodml.components.evaluator.candidates import candidates
from prodml.components.evaluator.component import Evaluator
from prodml.components.evaluator.configuration import complete
from prodml.components.evaluator.contract import check_model
from prodml.components.evaluator.eval_config import (
    EvalConfig,
    MetricConfig,
    MetricsSpec,
    ModelSpec,
    SlicingSpec,
)
from prodml.components.evaluator.sample import read_sample
from prodml.components.evaluator.tfma import config_pb2, metric_util, slicer_lib
from prodml.components.evaluator.tfma import model_eval_lib as tfma
from prodml.components.evaluator.whole_batches.row_by_row import row_by_row_reasons
from prodml.data.examples_layout import PayloadFormat, split_files
from prodml.data.writers import ExamplesWriter
from prodml.dsl.channel import Channel

ROWS = 200
SPLITS = ["eval", "test"]
PARSED = {"distance": tf.io.FixedLenFeature([1], tf.float32)}
BINARY = """
ExampleCount WeightedExampleCount MeanLabel MeanPrediction Calibration AUC AUCPrecisionRecall
BinaryAccuracy BinaryCrossEntropy Precision Recall F1Score Specificity BalancedAccuracy MaxRecall
MatthewsCorrelationCoefficient Prevalence SensitivityAtSpecificity:{"specificity":0.5}
PrecisionAtRecall:{"recall":0.7} ThresholdAtRecall:{"recall":0.6}
Precision:{"thresholds":[0.2,0.4,0.9],"name":"several"} Recall:{"top_k":1,"name":"of_the_best"}
ConfusionMatrixAtThresholds:{"thresholds":[0.5,0.1]} ConfusionMatrixPlot CalibrationPlot
SquaredPearsonCorrelation CoefficientOfDiscrimination RelativeCoefficientOfDiscrimination
MeanSquaredError MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredLogarithmicError
"""
BINARY_SUMMED = BINARY.replace('Recall:{"top_k":1,"name":"of_the_best"}', "")
REGRESSION = """
ExampleCount MeanLabel MeanPrediction Calibration SquaredPearsonCorrelation MeanSquaredError
MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredLogarithmicError
CalibrationPlot:{"left":0,"right":60,"num_buckets":20}
"""
MULTI_CLASS = """
ExampleCount CategoricalCrossEntropy MultiClassConfusionMatrixPlot
MultiClassConfusionMatrixAtThresholds:{"thresholds":[0.2,0.35,0.5]}
"""
BY_ORIGIN = {"feature_keys": ["origin"]}
SLICES = [
    {},
    BY_ORIGIN,
    {"feature_values": {"origin": "JFK"}},
    {"feature_keys": ["carrier", "origin"]},
    {"feature_keys": ["hour"], "feature_values": {"origin": "EWR"}},
    {"feature_keys": ["stops"]},
    {"feature_values": {"hour": "17"}},
]


class Served(tf.Module):
    """Predicts from the distance only."""

    def __init__(self, predict: Any, seed: int) -> None:
        super().__init__()
        self.predict = predict
        self.weights = tf.Variable(np.random.default_rng(seed).normal(size=[1, 3]), dtype="float32")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def serve(self, examples: Any) -> Any:
        distance = tf.io.parse_example(examples, PARSED)["distance"]
        return {"outputs": self.predict(distance / 1000.0, self.weights)}


def _save(predict: Any, seed: int, directory: Path) -> Model:
    served = Served(predict, seed)
    path = str(directory / "Format-Serving")
    tf.saved_model.save(served, path, signatures={"serving_default": served.serve})
    return Model(uri=str(directory))


def _hour(distance: Any, weights: Any) -> Any:
    return 12.0 + distance * weights[0, :1]


def _origin(distance: Any, weights: Any) -> Any:
    return tf.nn.softmax(tf.matmul(distance, weights))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Sequence[Model]]:
    """Candidate and baseline of each kind."""
    root = tmp_path_factory.mktemp("models")
    binary = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        export(build(), str(root / f"binary-{seed}" / "Format-Serving"))
        binary.append(Model(uri=str(root / f"binary-{seed}")))
    return {
        "binary": binary,
        "regression": [_save(_hour, seed, root / f"regression-{seed}") for seed in (1, 2)],
        "multi-class": [_save(_origin, seed, root / f"classes-{seed}") for seed in (1, 2)],
    }


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    """Flights with weights, some without a carrier, some with no stops or several."""
    directory = tmp_path_factory.mktemp("flights") / "examples"
    directory.mkdir()
    examples = Examples(uri=str(directory))
    rows = flight_rows(100, ROWS)
    numbers = np.arange(ROWS)
    origins = rows.column(rows.schema.get_field_index("origin")).dictionary_encode()
    carriers = rows.column(rows.schema.get_field_index("carrier")).to_pylist()
    stops = [[b"BOS", b"ORD"][: n % 3] or None for n in numbers]
    columns = {
        **{name: rows.column(i) for i, name in enumerate(rows.schema.names)},
        "carrier": pa.array(
            [None if n % 7 == 3 else c for n, c in enumerate(carriers)], pa.binary()
        ),
        "stops": pa.array(stops, pa.list_(pa.binary())),
        "seats": pa.array(numbers % 5 * 0.5, pa.float32()),
        "share": pa.array(numbers % 11 / 10.0, pa.float32()),
        "origin_class": origins.indices.cast(pa.int64()),
    }
    batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    with ExamplesWriter(examples, SPLITS, PayloadFormat.PARQUET) as writer:
        writer.write("eval", batch.slice(0, ROWS // 2))
        writer.write("test", batch.slice(ROWS // 2))
    return examples


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        pytest.param(
            "binary",
            {"metrics_specs": [{"metrics": BINARY_SUMMED}], "slicing_specs": SLICES},
            id="every binary metric, in every kind of slice",
        ),
        pytest.param(
            "binary",
            {
                "model_specs": [{"label_key": "share", "example_weight_key": "seats"}],
                "metrics_specs": [
                    {
                        "metrics": BINARY_SUMMED,
                        "example_weights": {"weighted": True, "unweighted": True},
                    }
                ],
                "slicing_specs": [{}, BY_ORIGIN],
            },
            id="weights, of which some are 0, and labels between 0 and 1",
        ),
        pytest.param(
            "binary",
            {
                "metrics_specs": [{"metrics": "ExampleCount AUC MeanPrediction"}],
                "slicing_specs": [{}, BY_ORIGIN, {"feature_keys": ["carrier"]}],
                "cross_slicing_specs": [
                    {"baseline_spec": {}, "slicing_specs": [BY_ORIGIN]},
                    {"baseline_spec": {"feature_values": {"origin": "EWR"}}},
                ],
            },
            id="compared slices",
        ),
        pytest.param(
            "binary",
            {
                "metrics_specs": [{"metrics": "ExampleCount AUC ConfusionMatrixPlot"}],
                "slicing_specs": [{}, BY_ORIGIN, {"feature_keys": ["carrier"]}],
                "options": {"min_slice_size": 40},
            },
            id="slices too small to be shown",
        ),
        pytest.param(
            "binary",
            {
                "model_specs": [
                    {
                        "label_key": "is_late_xf",
                        "preprocessing_function_names": ["transform_features"],
                    }
                ],
                "metrics_specs": [{"metrics": "ExampleCount AUC Precision"}],
                "slicing_specs": [{}, {"feature_keys": ["is_evening", "origin"]}],
            },
            id="labels and slices that the model computes",
        ),
        pytest.param(
            "regression",
            {
                "model_specs": [{"label_key": "hour", "example_weight_key": "seats"}],
                "metrics_specs": [{"metrics": REGRESSION}],
                "slicing_specs": [{}, BY_ORIGIN, {"feature_keys": ["hour"]}],
            },
            id="regression",
        ),
        pytest.param(
            "multi-class",
            {
                "model_specs": [{"label_key": "origin_class", "example_weight_key": "seats"}],
                "metrics_specs": [
                    {"metrics": MULTI_CLASS},
                    {
                        "metrics": "AUC Precision MeanLabel MeanSquaredError",
                        "binarize": {"class_ids": {"values": [0, 2]}},
                    },
                    {
                        "metrics": "AUC Recall",
                        "aggregate": {
                            "weighted_macro_average": True,
                            "class_weights": {0: 1.0, 1: 0.5, 2: 0.25},
                        },
                    },
                    {
                        "metrics": "F1Score MeanPrediction BinaryAccuracy",
                        "aggregate": {
                            "micro_average": True,
                            "class_weights": {0: 1.0, 1: 0.5, 2: 0.25},
                        },
                    },
                ],
                "slicing_specs": [{}, BY_ORIGIN],
            },
            id="several classes, one by one and averaged",
        ),
    ],
)
def test_whole_batches_give_the_same_metrics_as_single_rows(
    kind: str,
    config: dict[str, Any],
    models: Mapping[str, Sequence[Model]],
    examples: Examples,
    tmp_path: Path,
) -> None:
    whole, rows = _evaluated_both_ways(config, models[kind], examples, tmp_path)
    assert whole["rows"] == rows["rows"]
    for part in ("metrics", "plots", "attributions", "validation"):
        assert whole[part].keys() == rows[part].keys(), part
        for key, expected in rows[part].items():
            _assert_close(whole[part][key], expected, f"{part} of {key}")
    assert any(whole[part] for part in ("metrics", "plots"))


def test_no_step_runs_per_row_and_each_model_is_loaded_once(
    models: Mapping[str, Sequence[Model]],
    examples: Examples,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: collections.Counter[str] = collections.Counter()
    _count(calls, monkeypatch, metric_util, "to_label_prediction_example_weight")
    _count(calls, monkeypatch, slicer_lib, "get_slices_for_features_dicts")
    _count(calls, monkeypatch, tf.compat.v1.saved_model, "load_v2")
    candidate_model, baseline = models["binary"]
    inputs = {"examples": examples, "model": candidate_model, "baseline_model": baseline}
    evaluator = Evaluator(
        example_splits=SPLITS,
        eval_config=EvalConfig(
            model_specs=[ModelSpec(label_key="is_late")],
            slicing_specs=[SlicingSpec(feature_keys=["origin"])],
            metrics_specs=[MetricsSpec(metrics=[MetricConfig("AUC"), MetricConfig("MeanLabel")])],
        ),
        **{key: Channel(type=type(artifact)) for key, artifact in inputs.items()},
    )
    context = execute(evaluator, inputs, tmp_path)
    assert not any("row by row" in note for note in context.notes)
    batches, origins = 2, 3
    assert calls == {
        # One for the histogram and one for the means of each model.
        "to_label_prediction_example_weight": 4 * batches,
        "get_slices_for_features_dicts": (1 + origins) * batches,
        "load_v2": 2,
    }


def test_a_config_that_needs_rows_is_evaluated_row_by_row_and_reported(
    models: Mapping[str, Sequence[Model]], examples: Examples, tmp_path: Path
) -> None:
    inputs = {"examples": examples, "model": models["binary"][0]}
    evaluator = Evaluator(
        example_splits=SPLITS,
        eval_config=EvalConfig(
            model_specs=[ModelSpec(label_key="is_late")],
            metrics_specs=[
                MetricsSpec(metrics=[MetricConfig("ExampleCount"), MetricConfig("ExactMatch")])
            ],
        ),
        **{key: Channel(type=type(artifact)) for key, artifact in inputs.items()},
    )
    context = execute(evaluator, inputs, tmp_path)
    assert context.notes[0] == (
        "evaluated row by row, which is slow: metric ExactMatch is computed row by row"
    )
    [(_, values)] = tfma.load_eval_result(context.outputs["evaluation"].uri).slicing_metrics
    assert values[""][""]["example_count"]["doubleValue"] == ROWS


def _count(
    calls: collections.Counter[str], monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    counted = getattr(owner, name)

    def counting(*args: Any, **kwargs: Any) -> Any:
        calls[name] += 1
        return counted(*args, **kwargs)

    monkeypatch.setattr(owner, name, counting)


def _evaluated_both_ways(
    config: dict[str, Any], models: Sequence[Model], examples: Examples, tmp_path: Path
) -> list[dict[str, Any]]:
    evaluation = complete(_config(config), has_baseline=True)
    splits = [Split(name, split_files(examples, name), PayloadFormat.PARQUET) for name in SPLITS]
    sample = read_sample(splits)
    found = candidates(evaluation, models[0], models[1], "test")
    capabilities = [check_model(each, sample, evaluation.config) for each in found]
    assert row_by_row_reasons(evaluation.config, capabilities, sample) == []
    evaluated = []
    for in_whole_batches in (True, False):
        output = str(tmp_path / str(in_whole_batches))
        rows = analyze(
            splits,
            found,
            evaluation,
            Columns(None, []),
            in_whole_batches,
            output,
            RunnerProfile(),
        )
        evaluated.append(_loaded(output, rows))
    return evaluated


def _config(given: dict[str, Any]) -> Any:
    """An EvalConfig; metrics are a text of names, with a config after a colon."""
    specs = [
        {**spec, "metrics": [_metric(metric) for metric in spec["metrics"].split()]}
        for spec in given["metrics_specs"]
    ]
    model_specs = given.get("model_specs", [{"label_key": "is_late"}])
    complete_config = {**given, "metrics_specs": specs, "model_specs": model_specs}
    config = json_format.ParseDict(complete_config, config_pb2.EvalConfig())
    threshold = config.metrics_specs[0].metrics[0].per_slice_thresholds.add()
    threshold.slicing_specs.add(feature_keys=["origin"])
    threshold.threshold.value_threshold.lower_bound.value = 90
    threshold.threshold.change_threshold.absolute.value = 1
    threshold.threshold.change_threshold.direction = config_pb2.HIGHER_IS_BETTER
    return config


def _metric(text: str) -> dict[str, str]:
    name, _, config = text.partition(":")
    return {"class_name": name, "config": config}


def _loaded(output: str, rows: Mapping[str, SplitRows]) -> dict[str, Any]:
    result = tfma.load_eval_result(output)
    validation = json_format.MessageToDict(tfma.load_validation_result(output))
    validation["metricValidationsPerSlice"] = sorted(
        validation.get("metricValidationsPerSlice", []), key=str
    )
    return {
        "rows": rows,
        "metrics": {
            **_by_slice(tfma.load_metrics(output), "metricKeysAndValues"),
            "result": {str(key): value for key, value in result.slicing_metrics},
        },
        "plots": _by_slice(tfma.load_plots(output), "plots"),
        "attributions": _by_slice(tfma.load_attributions(output), "attributionsKeysAndValues"),
        "validation": {"": validation},
    }


def _by_slice(records: Any, field: str) -> dict[str, Any]:
    """The metrics of each slice by key, without order."""
    found = {}
    for record in records:
        read = json_format.MessageToDict(record)
        found[str({name: key for name, key in read.items() if name.endswith("liceKey")})] = {
            str(figure.pop("key")): figure for figure in read.get(field, [])
        }
    return found


def _assert_close(value: Any, expected: Any, where: str) -> None:
    if isinstance(expected, dict):
        assert value.keys() == expected.keys(), where
        for key, part in expected.items():
            _assert_close(value[key], part, f"{where}, {key}")
    elif isinstance(expected, list | tuple):
        assert len(value) == len(expected), where
        for i, part in enumerate(expected):
            _assert_close(value[i], part, f"{where}, {i}")
    elif isinstance(expected, float):
        is_nan = math.isnan(expected) and math.isnan(value)
        assert is_nan or value == pytest.approx(expected, rel=1e-6, abs=1e-7), where
    else:
        assert value == expected, where
