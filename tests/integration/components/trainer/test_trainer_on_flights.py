"""Trainer on real flights and a real Keras 3 model, in both payload formats."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from support.flight_rows import flight_examples, flight_rows, flight_schema
from support.running import execute

from prodml.artifacts import Examples, HyperParameters, Model, Schema
from prodml.components.trainer.component import EvalArgs, TrainArgs, Trainer
from prodml.data.examples_layout import PayloadFormat
from prodml.data.record_batches import serialize_examples
from prodml.dsl.channel import Channel
from prodml.dsl.executor import ExecutorContext
from prodml.errors import InputDataError, NodeError, UserCodeError

MODULE = str(Path(__file__).parents[3] / "support" / "late_flights.py")


@pytest.fixture(scope="module", params=list(PayloadFormat))
def examples(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Examples:
    return flight_examples(tmp_path_factory.mktemp("flights") / "examples", request.param)


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    directory = tmp_path_factory.mktemp("parquet") / "examples"
    return flight_examples(directory, PayloadFormat.PARQUET)


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Schema:
    return flight_schema(tmp_path_factory.mktemp("schema") / "schema")


def test_run_fn_exports_a_model_that_predicts(
    examples: Examples, schema: Schema, tmp_path: Path
) -> None:
    context = _train(tmp_path, examples=examples, schema=schema)
    served = tf.saved_model.load(context.output("model", Model).serving_model_dir)
    rows = serialize_examples_of(3)
    scores = served.signatures["serving_default"](tf.constant(rows))["outputs"]
    assert scores.shape == (3, 1)
    [train, evaluation] = context.row_counts
    assert (train.split, train.read, train.written) == ("train", 400, 400)
    assert evaluation.dropped == {"never read by run_fn": 200}


def test_training_twice_in_one_process_gives_the_same_weights_bit_by_bit(
    examples: Examples, schema: Schema, tmp_path: Path
) -> None:
    first = _weights(_train(tmp_path, examples=examples, schema=schema))
    second = _weights(_train(tmp_path, examples=examples, schema=schema))
    other = _weights(_train(tmp_path, seed=43, examples=examples, schema=schema))
    assert [w.tobytes() for w in first] == [w.tobytes() for w in second]
    assert [w.tobytes() for w in first] != [w.tobytes() for w in other]


def test_both_payload_formats_train_the_same_weights(
    schema: Schema, parquet: Examples, tmp_path: Path
) -> None:
    records = flight_examples(tmp_path / "records", PayloadFormat.TF_EXAMPLE)
    of_parquet = _weights(_train(tmp_path, examples=parquet, schema=schema))
    of_records = _weights(_train(tmp_path, examples=records, schema=schema))
    assert [w.tobytes() for w in of_parquet] == [w.tobytes() for w in of_records]


def test_random_generators_are_restored_after_a_training(
    parquet: Examples, schema: Schema, tmp_path: Path
) -> None:
    random.seed(5)
    np.random.seed(5)
    expected = random.Random(5).random(), np.random.RandomState(5).rand()
    _train(tmp_path, examples=parquet, schema=schema)
    assert (random.random(), np.random.rand()) == expected
    tf.random.Generator.from_non_deterministic_state()  # refused under op determinism


def test_steps_are_reported_as_they_go(parquet: Examples, schema: Schema, tmp_path: Path) -> None:
    reports: list[tuple[int, int | None, str]] = []

    class Listener:
        def progress(self, done: int, total: int | None, unit: str) -> None:
            reports.append((done, total, unit))

    _train(tmp_path, reporter=Listener(), examples=parquet, schema=schema)
    assert reports[-1] == (20, 20, "steps")
    assert reports == sorted(reports)


def test_fn_args_has_the_values_of_tfx(parquet: Examples, schema: Schema, tmp_path: Path) -> None:
    tuned = tmp_path / "tuned"
    tuned.mkdir()
    (tuned / "best_hyperparameters.txt").write_text('{"values": {"units": 8}}')
    module = _module(
        tmp_path,
        """
import json, os, tensorflow as tf
def run_fn(fn_args):
    seen = {k: v for k, v in vars(fn_args).items() if k != "data_accessor"}
    tf.saved_model.save(tf.Module(), fn_args.serving_model_dir)
    with open(os.path.join(fn_args.model_run_dir, "seen.json"), "w") as file:
        json.dump(seen, file)
""",
    )
    base = Model(uri=str(tmp_path / "base"))
    context = _train(
        tmp_path,
        module_file=module,
        train_args=TrainArgs(splits=("train", "eval"), num_steps=7),
        custom_config={"rate": 0.1},
        check_servable=False,
        examples=parquet,
        schema=schema,
        base_model=base,
        hyperparameters=HyperParameters(uri=str(tuned)),
    )
    model, run = context.outputs["model"].uri, context.outputs["model_run"].uri
    assert json.loads(Path(run, "seen.json").read_text()) == {
        "working_dir": context.tmp_dir,
        "train_files": [f"{parquet.uri}/Split-train/*", f"{parquet.uri}/Split-eval/*"],
        "eval_files": [f"{parquet.uri}/Split-eval/*"],
        "train_steps": 7,
        "eval_steps": None,
        "schema_path": schema.schema_path,
        "schema_file": schema.schema_path,
        "transform_graph_path": None,
        "transform_output": None,
        "serving_model_dir": f"{model}/Format-Serving",
        "eval_model_dir": f"{model}/Format-TFMA",
        "model_run_dir": run,
        "base_model": base.serving_model_dir,
        "hyperparameters": {"values": {"units": 8}},
        "custom_config": {"rate": 0.1},
    }


def test_record_batches_have_every_row(examples: Examples, tmp_path: Path) -> None:
    module = _module(
        tmp_path,
        """
import os, tensorflow as tf
from tfx_bsl.public import tfxio
def run_fn(fn_args):
    options = tfxio.RecordBatchesOptions(batch_size=64, num_epochs=1, shuffle=False)
    batches = fn_args.data_accessor.record_batch_factory(fn_args.train_files, options)
    rows = sum(batch.num_rows for batch in batches)
    tf.saved_model.save(tf.Module(), fn_args.serving_model_dir)
    with open(os.path.join(fn_args.model_run_dir, "rows"), "w") as file:
        file.write(str(rows))
""",
    )
    context = _train(tmp_path, module_file=module, check_servable=False, examples=examples)
    assert Path(context.outputs["model_run"].uri, "rows").read_text() == "400"
    assert context.row_counts[0].written == 400


def test_a_dataset_without_a_schema_is_rejected(parquet: Examples, tmp_path: Path) -> None:
    module = _module(
        tmp_path,
        """
from tfx_bsl.public import tfxio
def run_fn(fn_args):
    options = tfxio.TensorFlowDatasetOptions(batch_size=64)
    fn_args.data_accessor.tf_dataset_factory(fn_args.train_files, options)
""",
    )
    with pytest.raises(InputDataError, match="tf_dataset_factory needs a schema"):
        _train(tmp_path, module_file=module, examples=parquet)


def test_imported_examples_need_no_row_counts(
    parquet: Examples, schema: Schema, tmp_path: Path
) -> None:
    imported = Examples(
        uri=parquet.uri,
        properties=parquet.properties,
        custom_properties={"payload_format": "FORMAT_PARQUET"},
    )
    assert _train(tmp_path, examples=imported, schema=schema).row_counts == []


def test_run_fn_can_be_an_import_path(parquet: Examples, schema: Schema, tmp_path: Path) -> None:
    context = _train(
        tmp_path,
        module_file=None,
        run_fn="support.late_flights.run_fn",
        examples=parquet,
        schema=schema,
    )
    assert Path(context.output("model", Model).serving_model_dir, "saved_model.pb").is_file()


def test_the_users_line_is_named_if_run_fn_raises(parquet: Examples, tmp_path: Path) -> None:
    module = _module(tmp_path, "def run_fn(fn_args):\n    rate = 1\n    rate / 0\n")
    with pytest.raises(UserCodeError, match=r"module.py:3, in run_fn: ZeroDivisionError"):
        _train(tmp_path, module_file=module, examples=parquet)


def test_the_users_line_is_named_if_the_module_cannot_be_imported(
    parquet: Examples, tmp_path: Path
) -> None:
    module = _module(tmp_path, "import os\nimport no_such_thing\n")
    with pytest.raises(UserCodeError, match=r"cannot be imported at .*module.py:2"):
        _train(tmp_path, module_file=module, examples=parquet)


def test_a_module_without_run_fn_is_reported(parquet: Examples, tmp_path: Path) -> None:
    module = _module(tmp_path, "def run_fun(fn_args): ...\n")
    with pytest.raises(UserCodeError, match=r"no function 'run_fn'; did you mean 'run_fun'"):
        _train(tmp_path, module_file=module, examples=parquet)


@pytest.mark.parametrize("name", ["/model.keras", ".keras"])
def test_a_run_fn_that_writes_a_keras_file_is_rejected(
    name: str, parquet: Examples, tmp_path: Path
) -> None:
    module = _module(
        tmp_path,
        f"""
import os
import keras
def run_fn(fn_args):
    path = fn_args.serving_model_dir + {name!r}
    os.makedirs(os.path.dirname(path), exist_ok=True)
    keras.Sequential([keras.Input([1]), keras.layers.Dense(1)]).save(path)
""",
    )
    with pytest.raises(UserCodeError, match=r"expected saved_model.pb there, got .*\.keras; end"):
        _train(tmp_path, module_file=module, examples=parquet)


def test_a_model_that_cannot_be_served_fails_the_node_unless_disabled(
    parquet: Examples, tmp_path: Path
) -> None:
    module = _module(
        tmp_path,
        """
import keras, tensorflow as tf
def run_fn(fn_args):
    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="distance")])
    def serve(distance):
        return {"score": model(distance)}
    tf.saved_model.save(model, fn_args.serving_model_dir, {"serving_default": serve})
""",
    )
    with pytest.raises(UserCodeError, match="'serving_default': Could not find variable"):
        _train(tmp_path, module_file=module, examples=parquet)
    trained = _train(tmp_path, module_file=module, check_servable=False, examples=parquet)
    assert Path(trained.output("model", Model).serving_model_dir, "saved_model.pb").is_file()


def test_a_keras_2_model_has_the_same_weights_in_each_training_of_a_process(
    parquet: Examples, tmp_path: Path
) -> None:
    module = _module(
        tmp_path,
        """
import tensorflow as tf
from prodml.components import export_model
def run_fn(fn_args):
    model = tf.keras.Sequential(
        [tf.keras.Input([1]), tf.keras.layers.Dense(8), tf.keras.layers.Dropout(0.5),
         tf.keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(tf.ones([64, 1]), tf.ones([64, 1]), batch_size=8, verbose=0)
    spec = {"distance": tf.io.FixedLenFeature([1], tf.float32)}
    export_model(lambda f: model(f["distance"]), fn_args.serving_model_dir, feature_spec=spec)
""",
    )
    contexts = [
        _train(tmp_path, module_file=module, seed=seed, examples=parquet) for seed in (1, 1, 2)
    ]
    first, second, other = ([w.tobytes() for w in _weights(context)] for context in contexts)
    assert first == second
    assert first != other
    assert contexts[0].outputs["model"].custom_properties["keras"] == "tf_keras"


def test_a_module_that_sets_the_variable_to_another_keras_is_rejected(
    parquet: Examples, tmp_path: Path
) -> None:
    text = "import os\nos.environ['TF_USE_LEGACY_KERAS'] = '{}'\ndef run_fn(fn_args): 1 / 0\n"
    with pytest.raises(UserCodeError, match=r"write Trainer\(keras='keras'\)"):
        _train(tmp_path, module_file=_module(tmp_path, text.format(0)), examples=parquet)
    with pytest.raises(UserCodeError, match="ZeroDivisionError"):
        _train(tmp_path, module_file=_module(tmp_path, text.format(1)), examples=parquet)


def test_a_keras_that_the_process_cannot_provide_is_rejected(
    parquet: Examples, tmp_path: Path
) -> None:
    with pytest.raises(NodeError, match="tf.keras cannot be keras in this process"):
        _train(tmp_path, keras="keras", examples=parquet)


def test_a_split_that_the_examples_lack_is_reported(parquet: Examples, tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match=r"expected a split 'test' .* got train, eval"):
        _train(tmp_path, eval_args=EvalArgs(splits=("test",)), examples=parquet)


def serialize_examples_of(count: int) -> list[bytes]:
    from prodml.data.columns import to_example_shape

    return list(serialize_examples(to_example_shape(flight_rows(0, count))).to_pylist())


def _train(
    tmp_path: Path,
    module_file: str | None = MODULE,
    reporter: Any = None,
    **given: Any,
) -> ExecutorContext:
    artifacts = {k: v for k, v in given.items() if isinstance(v, Examples | Schema | Model)}
    artifacts |= {k: v for k, v in given.items() if isinstance(v, HyperParameters)}
    parameters = {"train_args": TrainArgs(num_steps=20), "module_file": module_file}
    parameters |= {k: v for k, v in given.items() if k not in artifacts}
    channels = {key: Channel(type=type(artifact)) for key, artifact in artifacts.items()}
    trainer = Trainer(**channels, **parameters)
    if reporter is None:
        return execute(trainer, artifacts, tmp_path)
    return execute(trainer, artifacts, tmp_path, reporter)


def _module(tmp_path: Path, text: str) -> str:
    path = tmp_path / "module.py"
    path.write_text(text)
    return str(path)


def _weights(context: ExecutorContext) -> list[Any]:
    directory = context.output("model", Model).serving_model_dir
    reader = tf.train.load_checkpoint(f"{directory}/variables/variables")
    names = sorted(reader.get_variable_to_shape_map())
    return [np.asarray(reader.get_tensor(name)) for name in names if not name.startswith("_CHECK")]
