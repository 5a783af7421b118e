"""Declarations of a Trainer."""

import subprocess
import sys

import pytest

from prodml.artifacts import Examples
from prodml.components.trainer.component import EvalArgs, TrainArgs, Trainer
from prodml.dsl.channel import Channel
from prodml.dsl.parameters import watched
from prodml.errors import DefinitionError

EXAMPLES = Channel(type=Examples)


def test_a_trainer_needs_a_module_file_or_a_run_fn() -> None:
    with pytest.raises(DefinitionError, match=r"declaration.py:\d+: .*one of module_file and run"):
        Trainer(examples=EXAMPLES)


def test_a_trainer_rejects_both_a_module_file_and_a_run_fn() -> None:
    with pytest.raises(DefinitionError, match="exactly one of"):
        Trainer(examples=EXAMPLES, module_file="module.py", run_fn="support.late_flights.run_fn")


def test_the_code_of_an_imported_run_fn_is_fingerprinted() -> None:
    trainer = Trainer(examples=EXAMPLES, run_fn="support.late_flights.run_fn")
    declared = Trainer.signature.parameters["run_fn"].type
    assert dict(watched(declared, trainer.parameters["run_fn"])) == {"": "function"}


@pytest.mark.parametrize("path", ["run_fn", "no_such.module.run_fn", "late_flight.run_fn"])
def test_a_run_fn_that_cannot_be_imported_is_rejected(path: str) -> None:
    with pytest.raises(DefinitionError, match="write package.module.function"):
        Trainer(examples=EXAMPLES, run_fn=path)


def test_splits_and_seed_have_defaults() -> None:
    parameters = Trainer(examples=EXAMPLES, module_file="module.py").parameters
    assert parameters["train_args"] == {"splits": ["train"], "num_steps": None}
    assert parameters["eval_args"] == {"splits": ["eval"], "num_steps": None}
    assert parameters["seed"] == 42


def test_args_can_be_dataclasses() -> None:
    trainer = Trainer(
        examples=EXAMPLES,
        module_file="module.py",
        train_args={"num_steps": 5},
        eval_args=EvalArgs(splits=("eval", "test")),
    )
    assert trainer.parameters["train_args"] == {"splits": ["train"], "num_steps": 5}
    assert trainer.parameters["eval_args"] == {"splits": ["eval", "test"], "num_steps": None}
    assert TrainArgs(num_steps=5) == TrainArgs(splits=("train",), num_steps=5)


@pytest.mark.parametrize(
    "module",
    [
        "prodml.components.trainer.component",
        "prodml.components.trainer.fn_args",
        "prodml.components.evaluator.component",
        "prodml.components.pusher.component",
    ],
)
def test_a_declaration_imports_no_large_library(module: str) -> None:
    heavy = ["tensorflow", "apache_beam", "pyarrow", "keras", "numpy", "tfx_bsl"]
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "[]"
