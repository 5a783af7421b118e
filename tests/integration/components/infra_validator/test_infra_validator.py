"""InfraValidator with real servers and real models, good and bad."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf
from support.running import execute
from support.served_models import (
    PARSED,
    Scorer,
    save,
    save_classifier,
    save_examples,
    save_with_start,
)

from prodml.artifacts import Examples, InfraBlessing, Model
from prodml.components import (
    InfraValidator,
    LocalDockerConfig,
    RequestSpec,
    ServingSpec,
    TensorFlowServing,
    TensorFlowServingRequestSpec,
    ValidationSpec,
)
from prodml.dsl.channel import Channel
from prodml.dsl.executor import ExecutorContext
from prodml.errors import ConfigError, ModelContractError
from prodml.serving.models.warm_up import read_warm_up_requests

BOTH = TensorFlowServingRequestSpec(signature_names=("serving_default", "serving_raw"))


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    return save_examples(tmp_path_factory.mktemp("examples"))


def validate(
    model: Model, examples: Examples | None, tmp_path: Path, **arguments: Any
) -> ExecutorContext:
    inputs: dict[str, Any] = {"model": model}
    channels: dict[str, Any] = {"model": Channel(type=Model)}
    if examples is not None:
        inputs["examples"] = examples
        channels["examples"] = Channel(type=Examples)
    return execute(InfraValidator(**channels, **arguments), inputs, tmp_path)


def refusal(context: ExecutorContext) -> str:
    blessing = context.outputs["blessing"]
    assert isinstance(blessing, InfraBlessing)
    assert os.listdir(blessing.uri) == ["INFRA_NOT_BLESSED"]
    assert not blessing.is_blessed
    (note,) = context.notes
    reason = str(blessing.custom_properties["reason"])
    assert note.startswith(f"not blessed: {reason}")
    return note


def script(path: Path, before: str) -> str:
    """A server executable that accepts TF Serving's options."""
    path.write_text(f'#!/bin/sh\n{before}\nexec {sys.executable} -m prodml serve "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_a_good_model_is_blessed_and_stored_with_its_requests(
    examples: Examples, tmp_path: Path
) -> None:
    model = save(Scorer(), tmp_path / "model")
    context = validate(
        model,
        examples,
        tmp_path,
        request_spec=RequestSpec(BOTH, num_examples=3, make_warmup=True),
        serving_spec=ServingSpec(embedded=True, binaries=(script(tmp_path / "other", ":"),)),
        validation_spec=ValidationSpec(max_memory_bytes=8 * 10**9),
    )
    blessing = context.outputs["blessing"]
    assert blessing.custom_properties["blessed"] == 1, context.notes
    assert blessing.custom_properties["has_model"] == 1
    assert "embedded server" in context.notes[0] and "other" in context.notes[0]
    stamped = os.path.join(blessing.uri, "stamped_model")
    assert {"INFRA_BLESSED", "stamped_model"} == set(os.listdir(blessing.uri))
    assert tf.saved_model.contains_saved_model(stamped)
    by_examples, by_columns = (log.predict_log for log in read_warm_up_requests(stamped))
    assert len(by_examples.request.inputs["examples"].string_val) == 3
    assert by_columns.request.inputs.keys() == PARSED.keys()
    assert not by_columns.HasField("response")
    assert not os.path.exists(os.path.join(model.serving_model_dir, "assets.extra"))


def test_classify_and_regress_get_requests_of_their_kind(
    examples: Examples, tmp_path: Path
) -> None:
    asked = TensorFlowServingRequestSpec(signature_names=("classify", "regress"))
    context = validate(
        save_classifier(tmp_path / "model"),
        examples,
        tmp_path,
        request_spec=RequestSpec(asked, num_examples=4, make_warmup=True),
    )
    blessing = context.outputs["blessing"]
    assert blessing.custom_properties["blessed"] == 1, context.notes
    logs = read_warm_up_requests(os.path.join(blessing.uri, "stamped_model"))
    assert [log.WhichOneof("log_type") for log in logs] == ["classify_log", "regress_log"]
    assert len(logs[0].classify_log.request.input.example_list.examples) == 4


def test_without_examples_the_model_is_only_loaded(tmp_path: Path) -> None:
    context = validate(save(Scorer(), tmp_path / "model"), None, tmp_path)
    assert context.outputs["blessing"].custom_properties["blessed"] == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda scores: tf.math.log(scores - 100.0), "output 'scores' has NaN at [0, 0]"),
        (lambda scores: tf.ensure_shape(scores[:1], [None, 1]), "has the shape [1, 1] for 5 row"),
    ],
)
def test_a_model_with_invalid_responses_is_not_blessed(
    answer: Any, expected: str, examples: Examples, tmp_path: Path
) -> None:
    context = validate(
        save(Scorer(answer), tmp_path / "model"),
        examples,
        tmp_path,
        request_spec=RequestSpec(num_examples=5),
    )
    assert expected in refusal(context)


def test_a_model_without_its_variables_is_not_blessed(examples: Examples, tmp_path: Path) -> None:
    model = save(Scorer(), tmp_path / "model")
    shutil.rmtree(os.path.join(model.serving_model_dir, "variables"))
    assert "the model was not loaded" in refusal(validate(model, examples, tmp_path))


def test_a_keras_3_model_whose_variables_no_server_restores_is_not_blessed(
    examples: Examples, tmp_path: Path
) -> None:
    class Tracked(Scorer):
        def __init__(self) -> None:
            super().__init__()
            inputs = keras.Input((1,))
            self.layers = keras.Model(inputs, keras.layers.Dense(1)(inputs))

        def _scores(self, features: Any) -> Any:
            return self.layers(features["distance"])

    context = validate(save(Tracked(), tmp_path / "model"), examples, tmp_path)
    assert "Could not find variable" in refusal(context)


def test_a_model_that_hangs_at_loading_is_not_blessed(examples: Examples, tmp_path: Path) -> None:
    model = save_with_start(
        lambda: tf.while_loop(lambda i: True, lambda i: (i + 1) % 9, [tf.constant(0)]),
        tmp_path / "model",
    )
    limits = ValidationSpec(max_loading_time_seconds=5)
    assert "after 5 s" in refusal(validate(model, examples, tmp_path, validation_spec=limits))


def test_a_model_that_exceeds_the_memory_limit_is_not_blessed(
    examples: Examples, tmp_path: Path
) -> None:
    model = save_with_start(
        lambda: tf.while_loop(
            lambda x: tf.size(x) > 0,
            lambda x: tf.concat([x, tf.random.uniform([25_000_000])], 0),
            [tf.random.uniform([1])],
            shape_invariants=[tf.TensorShape([None])],
        ),
        tmp_path / "model",
    )
    limits = ValidationSpec(max_memory_bytes=1_500_000_000)
    context = validate(model, examples, tmp_path, validation_spec=limits)
    assert "its limit is 1,500 MB" in refusal(context)


def test_a_server_that_dies_is_named_with_its_signal(examples: Examples, tmp_path: Path) -> None:
    dying = script(tmp_path / "dying", "echo about to die; ulimit -c 0; kill -SEGV $$")
    context = validate(
        save(Scorer(), tmp_path / "model"),
        examples,
        tmp_path,
        serving_spec=ServingSpec(binaries=(dying,)),
        validation_spec=ValidationSpec(num_tries=2),
    )
    reason = refusal(context)
    assert "was killed by SIGSEGV" in reason
    assert "the last lines of the server's log:\n  about to die" in reason


def test_a_model_that_crashes_the_server_on_a_request_is_not_blessed(
    examples: Examples, tmp_path: Path
) -> None:
    def never(scores: Any) -> Any:
        (factor,) = tf.while_loop(
            lambda i: tf.reduce_all(scores == scores), lambda i: (i * 3.0,), [tf.constant(1.0)]
        )
        return scores * factor

    bound = script(tmp_path / "bound", "ulimit -c 0; ulimit -t 6")
    context = validate(
        save(Scorer(never), tmp_path / "model"),
        examples,
        tmp_path,
        serving_spec=ServingSpec(binaries=(bound,)),
    )
    assert "on a request for 'serving_default': the server was killed by SIG" in refusal(context)


def test_a_missing_signature_fails_the_node(examples: Examples, tmp_path: Path) -> None:
    asked = RequestSpec(TensorFlowServingRequestSpec(signature_names=("serving_defualt",)))
    with pytest.raises(ModelContractError, match="did you mean 'serving_default'"):
        validate(save(Scorer(), tmp_path / "model"), examples, tmp_path, request_spec=asked)


def test_an_image_without_docker_fails_the_node(examples: Examples, tmp_path: Path) -> None:
    spec = ServingSpec(
        tensorflow_serving=TensorFlowServing(tags=("2.16.1",)),
        local_docker=LocalDockerConfig("no-such-docker"),
    )
    with pytest.raises(ConfigError, match="no 'no-such-docker' on the PATH"):
        validate(save(Scorer(), tmp_path / "model"), examples, tmp_path, serving_spec=spec)
