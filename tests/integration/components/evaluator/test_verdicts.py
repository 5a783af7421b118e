"""Decisions on real flights and two models that predict from the hour."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from support.flight_rows import flight_examples
from support.running import execute

from prodml.artifacts import Examples, Model, ModelBlessing, ModelEvaluation
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
    Options,
    PerSliceMetricThreshold,
    SlicingSpec,
)
from prodml.data.examples_layout import PayloadFormat
from prodml.dsl.channel import Channel
from prodml.errors import InputDataError, ModelContractError

HOUR = {"hour": tf.io.FixedLenFeature([1], tf.int64)}
AT_LEAST_A_LITTLE = MetricThreshold(value_threshold=GenericValueThreshold(lower_bound=0.4))
NO_WORSE = MetricThreshold(
    change_threshold=GenericChangeThreshold(
        absolute=0.0, direction=MetricDirection.HIGHER_IS_BETTER
    )
)


class Served(tf.Module):
    def __init__(self, predict: Callable[[Any], Any], parsed: Any) -> None:
        super().__init__()
        self._predict = predict
        self._parsed = parsed

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def serve(self, examples: Any) -> Any:
        features = tf.io.parse_example(examples, self._parsed)
        hours = tf.cast(features["hour"], tf.float32)
        return {"outputs": self._predict(hours / 24.0)}


def _model(directory: Path, id: int, predict: Callable[[Any], Any], parsed: Any = HOUR) -> Model:
    served = Served(predict, parsed)
    path = str(directory / f"model-{id}" / "Format-Serving")
    tf.saved_model.save(served, path, signatures={"serving_default": served.serve})
    return Model(uri=str(directory / f"model-{id}"), id=id)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    return flight_examples(tmp_path_factory.mktemp("flights") / "examples", PayloadFormat.PARQUET)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Later flights are late more often."""
    return _model(tmp_path_factory.mktemp("good"), 2, lambda share: share)


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return _model(tmp_path_factory.mktemp("bad"), 1, lambda share: 1.0 - share)


def test_without_any_threshold_a_model_is_not_blessed(
    good: Model, examples: Examples, tmp_path: Path
) -> None:
    blessing = _evaluated(_config(None), tmp_path, examples=examples, model=good)
    assert os.listdir(blessing.uri) == ["NOT_BLESSED"]
    assert not blessing.is_blessed
    assert blessing.custom_properties["reason"] == (
        "no threshold is set; add a value_threshold to a metric of eval_config"
    )


def test_a_baseline_alone_approves_nothing(
    good: Model, bad: Model, examples: Examples, tmp_path: Path
) -> None:
    blessing = _evaluated(
        _config(None), tmp_path, examples=examples, model=good, baseline_model=bad
    )
    assert not blessing.is_blessed
    assert blessing.custom_properties["baseline_model_id"] == 1


def test_change_thresholds_alone_bless_the_first_model_and_report_that_nothing_was_compared(
    bad: Model, examples: Examples, tmp_path: Path
) -> None:
    blessing = _evaluated(_config(NO_WORSE), tmp_path, examples=examples, model=bad)
    assert blessing.is_blessed
    assert blessing.custom_properties["reason"] == (
        "no value threshold is set; no baseline: the change thresholds of AUC were ignored"
    )


def test_value_thresholds_decide_if_change_thresholds_are_ignored(
    good: Model, bad: Model, examples: Examples, tmp_path: Path
) -> None:
    both = MetricThreshold(
        value_threshold=GenericValueThreshold(lower_bound=0.5),
        change_threshold=NO_WORSE.change_threshold,
    )
    blessed = _evaluated(_config(both), tmp_path, examples=examples, model=good)
    assert blessed.is_blessed
    refused = _evaluated(_config(both), tmp_path, examples=examples, model=bad)
    assert not refused.is_blessed
    for blessing in (blessed, refused):
        assert _reason(blessing).endswith("no baseline: the change thresholds of AUC were ignored")


def test_the_verdict_names_the_baseline_and_says_if_it_was_not_compared(
    good: Model, bad: Model, examples: Examples, tmp_path: Path
) -> None:
    given = {"examples": examples, "model": good, "baseline_model": bad}
    compared = _evaluated(_config(NO_WORSE), tmp_path, **given)
    assert compared.is_blessed
    assert _reason(compared).endswith("; baseline: model 1")
    alone = _evaluated(_config(AT_LEAST_A_LITTLE), tmp_path, **given)
    assert alone.is_blessed
    assert _reason(alone).endswith(
        "; baseline: model 1, not compared because no change_threshold is set"
    )


def test_a_threshold_on_the_baseline_alone_approves_nothing(
    good: Model, bad: Model, examples: Examples, tmp_path: Path
) -> None:
    config = EvalConfig(
        model_specs=[ModelSpec(label_key="is_late")],
        metrics_specs=[
            MetricsSpec(
                metrics=[MetricConfig("AUC", threshold=AT_LEAST_A_LITTLE)],
                model_names=["baseline"],
            )
        ],
    )
    blessing = _evaluated(config, tmp_path, examples=examples, model=good, baseline_model=bad)
    assert not blessing.is_blessed
    assert _reason(blessing).startswith("no threshold applies to the new model")


def test_a_metric_that_is_nan_meets_no_threshold(
    good: Model, examples: Examples, tmp_path: Path
) -> None:
    # No flight is predicted to be late with such a high probability.
    precision = MetricConfig("Precision", config='{"thresholds": 0.99}')
    config = EvalConfig(
        model_specs=[ModelSpec(label_key="is_late")],
        metrics_specs=[
            MetricsSpec(metrics=[dataclasses.replace(precision, threshold=AT_LEAST_A_LITTLE)])
        ],
    )
    blessing = _evaluated(config, tmp_path, examples=examples, model=good)
    assert not blessing.is_blessed
    assert _reason(blessing).startswith("precision NaN is not at least 0.4")


def test_a_threshold_on_a_metric_that_is_not_computed_gets_a_suggestion(
    good: Model, examples: Examples, tmp_path: Path
) -> None:
    config = EvalConfig(
        model_specs=[ModelSpec(label_key="is_late")],
        metrics_specs=[
            MetricsSpec(metrics=[MetricConfig("AUC")], thresholds={"auk": AT_LEAST_A_LITTLE})
        ],
    )
    with pytest.raises(InputDataError, match="threshold on metric 'auk'.*did you mean 'auc'"):
        _evaluated(config, tmp_path, examples=examples, model=good)


@pytest.mark.parametrize(
    ("parsed", "predict", "problem"),
    [
        (
            {**HOUR, "gate": tf.io.FixedLenFeature([1], tf.string)},
            lambda share: share,
            "requires the feature 'gate'",
        ),
        (
            HOUR,
            lambda share: tf.concat([share, share, share], 1),
            "it predicts 3 value(s) per row, but the new model predicts 1",
        ),
        (HOUR, lambda share: share / 0.0 * 0.0, "predicts NaN for 200 of 200 rows"),
    ],
    ids=["other features", "other outputs", "NaN"],
)
def test_a_baseline_that_cannot_be_evaluated_does_not_look_like_a_bad_candidate(
    parsed: Any,
    predict: Callable[[Any], Any],
    problem: str,
    good: Model,
    examples: Examples,
    tmp_path: Path,
) -> None:
    baseline = _model(tmp_path, 7, predict, parsed)
    with pytest.raises(ModelContractError) as raised:
        _evaluated(
            _config(NO_WORSE), tmp_path, examples=examples, model=good, baseline_model=baseline
        )
    message = str(raised.value)
    assert message.startswith(f"the baseline model 7 ({baseline.uri}) cannot be evaluated")
    assert "so the new model was neither blessed nor rejected" in message
    assert problem in message
    assert 'prodml baseline set MODEL --pipeline test --why "..."` (the new model is 2)' in message
    assert 'prodml baseline reset --pipeline test --why "..."`' in message


def test_a_baseline_that_cannot_be_loaded_is_an_error_with_advice(
    good: Model, examples: Examples, tmp_path: Path
) -> None:
    baseline = _model(tmp_path, 7, lambda share: share)
    Path(baseline.serving_model_dir, "variables", "variables.index").write_bytes(b"damaged")
    with pytest.raises(ModelContractError, match="baseline model 7 .* cannot be loaded: .*reset"):
        _evaluated(
            _config(NO_WORSE), tmp_path, examples=examples, model=good, baseline_model=baseline
        )


@pytest.mark.parametrize(
    ("metric", "label", "message"),
    [
        (
            "AUC",
            "hour",
            "cannot be computed from the labels and predictions: label must be within [0, 1]",
        ),
        ("AUC", "origin", "failed on a row: ValueError: could not convert string to float: b'"),
    ],
    ids=["in whole batches", "row by row"],
)
def test_the_error_of_a_metric_that_cannot_be_computed_omits_the_rows(
    metric: str, label: str, message: str, good: Model, examples: Examples, tmp_path: Path
) -> None:
    config = EvalConfig(
        model_specs=[ModelSpec(label_key=label)],
        metrics_specs=[MetricsSpec(metrics=[MetricConfig(metric)])],
    )
    with pytest.raises(InputDataError) as raised:
        _evaluated(config, tmp_path, examples=examples, model=good)
    assert message in str(raised.value)
    assert "while running" not in str(raised.value)
    assert "array" not in str(raised.value)


def test_a_slice_below_min_slice_size_meets_no_threshold(
    good: Model, examples: Examples, tmp_path: Path
) -> None:
    by_carrier = SlicingSpec(feature_keys=["carrier"])
    auc = MetricConfig(
        class_name="AUC",
        per_slice_thresholds=[PerSliceMetricThreshold([by_carrier], AT_LEAST_A_LITTLE)],
    )
    config = EvalConfig(
        model_specs=[ModelSpec(label_key="is_late")],
        metrics_specs=[MetricsSpec(metrics=[auc])],
        options=Options(min_slice_size=20),
    )
    blessing = _evaluated(config, tmp_path, examples=examples, model=good)
    assert not blessing.is_blessed
    expected = "auc of carrier=9E was not computed: fewer rows than min_slice_size"
    assert expected in _reason(blessing)


@pytest.mark.parametrize("metric", ["AUC", "MeanSquaredError", "ExactMatch"])
def test_a_model_that_predicts_nan_is_an_error_for_every_metric(
    metric: str, examples: Examples, tmp_path: Path
) -> None:
    """TFMA's regression metrics skip such rows, and would evaluate the model on the others."""
    model = _model(tmp_path, 3, lambda share: tf.where(share > 0.8, share / 0.0 * 0.0, share))
    config = EvalConfig(
        model_specs=[ModelSpec(label_key="is_late")],
        metrics_specs=[MetricsSpec(metrics=[MetricConfig(metric)])],
    )
    with pytest.raises(ModelContractError, match=r"model .*model-3: predicts NaN for \d+ of 200"):
        _evaluated(config, tmp_path, examples=examples, model=model)


def test_the_metrics_of_the_candidate_over_all_rows_are_recorded(
    good: Model, bad: Model, examples: Examples, tmp_path: Path
) -> None:
    never = MetricConfig("Precision", config='{"thresholds": 0.99}')
    config = EvalConfig(
        model_specs=[ModelSpec(label_key="is_late")],
        slicing_specs=[SlicingSpec(), SlicingSpec(feature_keys=["origin"])],
        metrics_specs=[MetricsSpec(metrics=[MetricConfig("AUC", threshold=NO_WORSE), never])],
    )
    inputs = {"examples": examples, "model": good, "baseline_model": bad}
    evaluator = Evaluator(
        eval_config=config, **{key: Channel(type=type(value)) for key, value in inputs.items()}
    )
    context = execute(evaluator, inputs, tmp_path)
    evaluation = context.output("evaluation", ModelEvaluation)
    metrics = json.loads(str(evaluation.custom_properties["metrics"]))
    # The precision is NaN, because no flight is predicted to be late with such a probability.
    assert list(metrics) == ["auc"]
    auc = metrics["auc"]
    change = f"auc changed by {auc - (1 - auc):+.4g}"
    assert auc > 0.5 and _reason(context.output("blessing", ModelBlessing)).startswith(change)


def _evaluated(config: EvalConfig, tmp_path: Path, **inputs: Examples | Model) -> ModelBlessing:
    channels = {key: Channel(type=type(artifact)) for key, artifact in inputs.items()}
    evaluator = Evaluator(eval_config=config, **channels)
    return execute(evaluator, inputs, tmp_path).output("blessing", ModelBlessing)


def _config(threshold: MetricThreshold | None) -> EvalConfig:
    auc = MetricConfig(class_name="AUC", threshold=threshold)
    return EvalConfig(
        model_specs=[ModelSpec(label_key="is_late")], metrics_specs=[MetricsSpec(metrics=[auc])]
    )


def _reason(blessing: ModelBlessing) -> str:
    return str(blessing.custom_properties["reason"])
