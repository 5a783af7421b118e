"""Executor of Trainer."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from typing import Any

from prodml import keras_choice
from prodml.artifacts import (
    Examples,
    HyperParameters,
    Model,
    ModelRun,
    Schema,
    TransformGraph,
)
from prodml.components.trainer.accessor import ExamplesAccess
from prodml.components.trainer.autograph import libraries_unconverted
from prodml.components.trainer.fn_args import FnArgs
from prodml.components.trainer.reproducible import reproducible
from prodml.components.trainer.servable import check_servable
from prodml.components.trainer.settings import settings_restored
from prodml.dsl.executor import ExecutorContext
from prodml.dsl.references import file_of_function, load_by_import_path
from prodml.dsl.user_code import load_function, user_code
from prodml.errors import NodeError, UserCodeError
from prodml.keras_choice import KerasName

_ROWS_CHECKED = 8


def execute(context: ExecutorContext) -> None:
    examples = [e for e in context.inputs["examples"] if isinstance(e, Examples)]
    access = ExamplesAccess(examples, context)
    fn_args = _fn_args(context, access)
    import_path = context.parameters["run_fn"]
    module_file = context.parameters["module_file"] or file_of_function(import_path).path
    seed = context.parameters["seed"]
    keras = _keras(context)
    with (
        reproducible(seed) if seed is not None else contextlib.nullcontext(),
        libraries_unconverted(),
        settings_restored(),
    ):
        run_fn = _run_fn(module_file, import_path)
        with user_code(os.path.dirname(os.path.abspath(module_file)), f"run_fn of {module_file}"):
            run_fn(fn_args)
    model = context.output("model", Model)
    model.custom_properties["keras"] = keras
    _require_saved_model(model.serving_model_dir, module_file)
    if context.parameters["check_servable"]:
        are_raw = context.optional_input("transform_graph", TransformGraph) is None
        for note in check_servable(
            model.serving_model_dir, access.first_rows(_ROWS_CHECKED), are_raw=are_raw
        ):
            context.note(note)
    access.reconcile()


def _keras(context: ExecutorContext) -> KerasName:
    """The package that `tf.keras` refers to in this process; the engine chose it for this node."""
    wanted, found = context.parameters["keras"], keras_choice.in_force()
    if found is None or wanted not in (None, found):
        name = wanted or keras_choice.DEFAULT
        raise NodeError(
            f"tf.keras cannot be {name} in this process, because TensorFlow was imported with "
            f"{keras_choice.VARIABLE}={os.environ.get(keras_choice.VARIABLE, 'unset')}; run the "
            f"pipeline with prodml, or call prodml.keras_choice.choose({name!r}) before "
            f"TensorFlow is imported"
        )
    return found


def _fn_args(context: ExecutorContext, access: ExamplesAccess) -> FnArgs:
    parameters = context.parameters
    train, evaluation = parameters["train_args"], parameters["eval_args"]
    schema = context.optional_input("schema", Schema)
    graph = context.optional_input("transform_graph", TransformGraph)
    base_model = context.optional_input("base_model", Model)
    model = context.output("model", Model)
    return FnArgs(
        working_dir=context.tmp_dir,
        train_files=access.patterns(train.splits),
        eval_files=access.patterns(evaluation.splits),
        train_steps=train.num_steps or None,
        eval_steps=evaluation.num_steps or None,
        schema_path=schema.schema_path if schema else None,
        schema_file=schema.schema_path if schema else None,
        transform_graph_path=graph.uri if graph else None,
        transform_output=graph.uri if graph else None,
        data_accessor=access.data_accessor(),
        serving_model_dir=model.serving_model_dir,
        eval_model_dir=model.eval_model_dir,
        model_run_dir=context.output("model_run", ModelRun).uri,
        base_model=base_model.serving_model_dir if base_model else None,
        hyperparameters=_hyperparameters(context),
        custom_config=parameters["custom_config"],
    )


def _hyperparameters(context: ExecutorContext) -> dict[str, Any] | None:
    found = context.optional_input("hyperparameters", HyperParameters)
    if found is None:
        return None
    with open(os.path.join(found.uri, "best_hyperparameters.txt"), encoding="utf-8") as file:
        return dict(json.load(file))


def _run_fn(module_file: str, import_path: str | None) -> Callable[[FnArgs], None]:
    if import_path is None:
        return load_function(module_file, "run_fn")
    return load_by_import_path(import_path)


def _require_saved_model(directory: str, module_file: str) -> None:
    if os.path.isfile(os.path.join(directory, "saved_model.pb")):
        return
    # Keras 3 requires a name that ends in .keras, which some users append to the directory's name.
    place = directory if os.path.isdir(directory) else os.path.dirname(directory)
    found = sorted(os.listdir(place))
    raise UserCodeError(
        f"run_fn of {module_file} wrote no SavedModel to fn_args.serving_model_dir: "
        f"expected saved_model.pb there, got {', '.join(found) or 'nothing'}; end run_fn with "
        f"prodml.components.export_model(model, fn_args.serving_model_dir, ...), or with "
        f"model.export(fn_args.serving_model_dir) of Keras: model servers cannot read Keras files"
    )
