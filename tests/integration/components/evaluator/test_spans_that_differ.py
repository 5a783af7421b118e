"""Columns that the first rows lack: rare features, and spans with other columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tensorflow as tf
from support.flight_rows import flight_rows
from support.running import execute

from prodml.artifacts import Examples, Model
from prodml.components.evaluator.component import Evaluator
from prodml.components.evaluator.eval_config import (
    EvalConfig,
    MetricConfig,
    MetricsSpec,
    ModelSpec,
    SlicingSpec,
)
from prodml.components.evaluator.tfma import model_eval_lib as tfma
from prodml.data.examples_layout import PayloadFormat
from prodml.data.writers import ExamplesWriter
from prodml.dsl.channel import Channel
from prodml.dsl.executor import ExecutorContext
from prodml.errors import InputDataError

HOUR = {"hour": tf.io.FixedLenFeature([1], tf.int64)}
ROWS = 50


class Served(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def serve(self, examples: Any) -> Any:
        hours = tf.io.parse_example(examples, HOUR)["hour"]
        return {"outputs": tf.cast(hours, tf.float32) / 24.0}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    directory = tmp_path_factory.mktemp("model")
    served = Served()
    path = str(directory / "Format-Serving")
    tf.saved_model.save(served, path, signatures={"serving_default": served.serve})
    return Model(uri=str(directory))


@pytest.fixture(params=list(PayloadFormat))
def spans(request: pytest.FixtureRequest, tmp_path: Path) -> list[Examples]:
    """The second span has gates and weights in addition."""
    added = {
        "gate": pa.array([b"A1", b"B2"] * (ROWS // 2), pa.binary()),
        "seats": pa.array([2.0] * ROWS, pa.float32()),
    }
    return [
        _span(tmp_path / "1", request.param, flight_rows(0, ROWS), {}),
        _span(tmp_path / "2", request.param, flight_rows(ROWS, ROWS), added),
    ]


def test_a_slice_feature_may_be_missing_from_the_first_span(
    spans: list[Examples], model: Model, tmp_path: Path
) -> None:
    config = _config(ModelSpec(label_key="is_late"), SlicingSpec(feature_keys=["gate"]))
    context = _evaluate(config, model, spans, tmp_path)
    counts = {
        key: metrics[""][""]["example_count"]["doubleValue"]
        for key, metrics in tfma.load_eval_result(context.outputs["evaluation"].uri).slicing_metrics
    }
    assert counts == {(): 100.0, (("gate", "A1"),): 25.0, (("gate", "B2"),): 25.0}


def test_a_weight_that_a_span_lacks_is_an_error_and_not_1(
    spans: list[Examples], model: Model, tmp_path: Path
) -> None:
    config = _config(ModelSpec(label_key="is_late", example_weight_key="seats"))
    expected = "'seats' has no value in 50 of 50 rows of split 'eval'; add a weight"
    with pytest.raises(InputDataError, match=expected):
        _evaluate(config, model, spans, tmp_path)
    _evaluate(config, model, spans[1:], tmp_path)


def _evaluate(
    config: EvalConfig, model: Model, spans: list[Examples], tmp_path: Path
) -> ExecutorContext:
    evaluator = Evaluator(
        eval_config=config, examples=Channel(type=Examples), model=Channel(type=Model)
    )
    return execute(evaluator, {"examples": spans, "model": model}, tmp_path)


def _config(spec: ModelSpec, *slices: SlicingSpec) -> EvalConfig:
    metrics = [MetricConfig("ExampleCount"), MetricConfig("AUC")]
    return EvalConfig(
        model_specs=[spec],
        slicing_specs=list(slices),
        metrics_specs=[MetricsSpec(metrics=metrics)],
    )


def _span(
    directory: Path, payload: PayloadFormat, rows: pa.RecordBatch, added: dict[str, pa.Array]
) -> Examples:
    directory.mkdir()
    examples = Examples(uri=str(directory))
    with ExamplesWriter(examples, ["eval"], payload) as writer:
        writer.write(
            "eval",
            pa.RecordBatch.from_arrays(
                [*rows.columns, *added.values()], [*rows.schema.names, *added]
            ),
        )
    return examples
