"""Declaration of Trainer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prodml.artifacts import Examples, HyperParameters, Model, ModelRun, Schema, TransformGraph
from prodml.dsl.component import Component
from prodml.dsl.parameters import FunctionPath, ModulePath
from prodml.dsl.references import file_of_function
from prodml.dsl.signature import Input, Output, Parameter
from prodml.keras_choice import KerasName


@dataclass(frozen=True)
class TrainArgs:
    """Splits and steps to train with.

    Attributes:
        splits: splits of the examples that `fn_args.train_files` refers to.
        num_steps: becomes `fn_args.train_steps`; if None, the user's module decides.
    """

    splits: tuple[str, ...] = ("train",)
    num_steps: int | None = None


@dataclass(frozen=True)
class EvalArgs:
    """Splits and steps to evaluate with during training.

    Attributes:
        splits: splits of the examples that `fn_args.eval_files` refers to.
        num_steps: becomes `fn_args.eval_steps`; if None, the user's module decides.
    """

    splits: tuple[str, ...] = ("eval",)
    num_steps: int | None = None


class Trainer(Component):
    """Trains a model with the `run_fn(fn_args)` of a user's module.

    Args:
        examples: examples to train on, raw or transformed, in either payload format.
        schema: becomes `fn_args.schema_path`.
        transform_graph: becomes `fn_args.transform_graph_path`.
        base_model: a model to start from; becomes `fn_args.base_model`.
        hyperparameters: hyperparameters of a Tuner; become `fn_args.hyperparameters`.
        module_file: path of the Python file that defines `run_fn`.
        run_fn: import path of the function, as `package.module.run_fn`, instead of a file.
        train_args: splits and steps to train with.
        eval_args: splits and steps to evaluate with during training.
        custom_config: settings for the user's module; becomes `fn_args.custom_config`.
        seed: seed of Python, NumPy, TensorFlow, Keras and the shuffling of the examples; also
            makes TensorFlow's operations deterministic, so two runs on the CPU produce weights
            that are equal bit by bit. If None, nothing is seeded.
        keras: the package that `tf.keras` refers to in the user's module: "tf_keras" (Keras 2) or
            "keras" (Keras 3); by default the configuration's `keras`, whose default is "tf_keras".
            The model's custom property `keras` records it. Two Trainers of a pipeline may differ:
            one of them then runs in a separate process.
        check_servable: whether to run each exported signature once after `run_fn`, on rows of the
            examples, in a session as TF Serving does; the node fails if the model cannot be
            served.

    Raises:
        DefinitionError: neither or both of module_file and run_fn are set, or run_fn is not found.
    """

    execution_type = "tfx.components.trainer.component.Trainer"

    examples: Input[Examples]
    schema: Input[Schema] | None = None
    transform_graph: Input[TransformGraph] | None = None
    base_model: Input[Model] | None = None
    hyperparameters: Input[HyperParameters] | None = None
    module_file: Parameter[ModulePath | None] = None
    run_fn: Parameter[FunctionPath | None] = None
    train_args: Parameter[TrainArgs] = TrainArgs()
    eval_args: Parameter[EvalArgs] = EvalArgs()
    custom_config: Parameter[dict[str, Any] | None] = None
    seed: Parameter[int | None] = 42
    keras: Parameter[KerasName | None] = None
    check_servable: Parameter[bool] = True
    model: Output[Model]
    model_run: Output[ModelRun]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        module_file, run_fn = self.parameters["module_file"], self.parameters["run_fn"]
        if (module_file is None) == (run_fn is None):
            self._refuse("needs exactly one of module_file and run_fn")
        if run_fn is not None:
            try:
                file_of_function(run_fn)
            except ValueError as error:
                self._refuse(f"run_fn {error}")
