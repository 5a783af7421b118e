"""Metrics that read features, compared with plain TFMA, called as in TFX, on the same files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from google.protobuf import json_format
from support.flight_rows import flight_examples
from support.running import execute
from tfx_bsl.public import tfxio

from prodml.artifacts import Examples, Model
from prodml.beam.profiles import RunnerProfile
from prodml.components.evaluator.component import Evaluator
from prodml.components.evaluator.configuration import complete
from prodml.components.evaluator.tfma import config_pb2, constants
from prodml.components.evaluator.tfma import model_eval_lib as tfma
from prodml.data.examples_layout import PayloadFormat, split_files
from prodml.dsl.channel import Channel

HOUR = {"hour": tf.io.FixedLenFeature([1], tf.int64)}
MEAN_DISTANCE = {
    "example_weights": {"unweighted": True},
    "metrics": [
        {
            "class_name": "Mean",
            "config": '{"feature_key_path": ["features", "distance"], "name": "mean_distance"}',
        }
    ],
}


class Served(tf.Module):
    """Reads only the hour."""

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


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    directory = tmp_path_factory.mktemp("flights") / "examples"
    return flight_examples(directory, PayloadFormat.TF_EXAMPLE)


# A slice with one class has no AUC, for which TFMA divides zero by zero.
@pytest.mark.filterwarnings("ignore:invalid value encountered in divide:RuntimeWarning")
@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"metrics_specs": [MEAN_DISTANCE]}, id="Mean of a feature"),
        pytest.param(
            {
                "metrics_specs": [MEAN_DISTANCE, {"metrics": [{"class_name": "AUC"}]}],
                "slicing_specs": [{}, {"feature_keys": ["carrier"]}],
            },
            id="Mean of a feature beside AUC, by slice",
        ),
        pytest.param(
            {
                "metrics_specs": [
                    {
                        "metrics": [{"class_name": "LongestFlight", "module": "feature_metrics"}],
                    }
                ],
                "slicing_specs": [{"feature_keys": ["origin"]}],
            },
            id="a team's own metric",
        ),
        pytest.param(
            {
                "metrics_specs": [
                    {
                        "metrics": [
                            {
                                "class_name": "FalsePositiveFeatureSampler",
                                "config": '{"feature_key": "carrier", "sample_size": 500}',
                            },
                            {"class_name": "ExampleCount"},
                        ]
                    }
                ]
            },
            id="samples of a feature",
        ),
        pytest.param(
            {
                "metrics_specs": [{"metrics": [{"class_name": "ExampleCount"}]}],
                "slicing_specs": [
                    {
                        "slice_keys_sql": "SELECT STRUCT(carrier) FROM example.carrier, "
                        "example.distance WHERE distance > 1000"
                    }
                ],
            },
            id="slices by SQL",
        ),
        pytest.param(
            {
                "metrics_specs": [
                    {
                        "query_key": "origin",
                        "binarize": {"top_k_list": {"values": [3]}},
                        "metrics": [{"class_name": "NDCG", "config": '{"gain_key": "distance"}'}],
                    }
                ]
            },
            id="queries and gains",
        ),
    ],
)
def test_metrics_that_read_features_equal_those_of_tfma(
    config: dict[str, Any],
    model: Model,
    examples: Examples,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parent), *sys.path])
    given = json_format.ParseDict(
        {"model_specs": [{"label_key": "is_late"}], **config}, config_pb2.EvalConfig()
    )
    inputs = {"examples": examples, "model": model}
    channels = {key: Channel(type=type(artifact)) for key, artifact in inputs.items()}
    context = execute(Evaluator(eval_config=given, **channels), inputs, tmp_path)
    assert any("row by row" in note for note in context.notes)

    expected = _plain_tfma(given, model, examples, str(tmp_path / "plain"))
    found = _metrics(context.outputs["evaluation"].uri)
    assert found.keys() == expected.keys()
    for key, metrics in expected.items():
        assert found[key].keys() == metrics.keys()
        for name, value in metrics.items():
            close = pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
            assert found[key][name] == close, name


def _plain_tfma(config: Any, model: Model, examples: Examples, output: str) -> dict[str, Any]:
    config = complete(config, has_baseline=False).config
    shared = tfma.default_eval_shared_model(
        eval_saved_model_path=model.serving_model_dir, eval_config=config
    )
    source = tfxio.TFExampleRecord(
        split_files(examples, "eval"), raw_record_column_name=constants.ARROW_INPUT_COLUMN
    )
    with RunnerProfile().pipeline() as pipeline:
        _ = (
            pipeline
            | source.BeamSource()
            | tfma.ExtractEvaluateAndWriteResults(
                eval_shared_model=shared, eval_config=config, output_path=output
            )
        )
    return _metrics(output)


def _metrics(output: str) -> dict[str, Any]:
    return {
        str(json_format.MessageToDict(record.slice_key)): {
            str(figure.key): json_format.MessageToDict(figure.value)
            if not figure.value.HasField("double_value")
            else figure.value.double_value.value
            for figure in record.metric_keys_and_values
        }
        for record in tfma.load_metrics(output)
    }
