"""The models of an evaluation, and the description of each in error messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prodml.artifacts import Model
from prodml.components.evaluator.configuration import Evaluation
from prodml.components.evaluator.tfma import model_eval_lib
from prodml.errors import ModelContractError


@dataclass(frozen=True)
class Subject:
    """The description of a model in error messages.

    Attributes:
        name: description of the model, such as "model /models/7".
        remedy: what to do whenever this model cannot be evaluated; empty if that depends on the
            problem.
    """

    name: str
    remedy: str = ""

    def refusal(self, problem: str, advice: str) -> ModelContractError:
        """The error for a model that cannot be evaluated.

        Args:
            problem: what was expected of the model, and what was found.
            advice: how the author of the model can fix it; not used if there is a remedy.
        """
        if self.remedy:
            return ModelContractError(
                f"the {self.name} cannot be evaluated on these examples, so the new model was "
                f"neither blessed nor rejected: {problem}; {self.remedy}"
            )
        return ModelContractError(f"{self.name}: {problem}; {advice}")


@dataclass(frozen=True)
class Candidate:
    """A model to evaluate.

    Attributes:
        subject: description of the model in error messages.
        model: the model's artifact.
        spec: the model's `tfma.ModelSpec`.
        shared_model: the model's `tfma.EvalSharedModel`, which loads it once per process.
    """

    subject: Subject
    model: Model
    spec: Any
    shared_model: Any


def candidates(
    evaluation: Evaluation, model: Model, baseline: Model | None, pipeline: str
) -> list[Candidate]:
    """The models of an evaluation, not loaded yet; the new model comes first.

    Args:
        evaluation: the complete Evaluation.
        model: the new model.
        baseline: the model to compare it with, or None.
        pipeline: name of the pipeline.
    """
    found = []
    for spec in evaluation.config.model_specs:
        is_baseline = spec.is_baseline and baseline is not None
        artifact = baseline if is_baseline and baseline is not None else model
        shared_model = model_eval_lib.default_eval_shared_model(
            eval_saved_model_path=artifact.serving_model_dir,
            model_name=spec.name,
            eval_config=evaluation.config,
            rubber_stamp=bool(evaluation.unchecked_changes),
        )
        subject = (
            Subject(f"baseline model {artifact.id} ({artifact.uri})", _remedy(model, pipeline))
            if is_baseline
            else Subject(f"model {artifact.uri}")
        )
        found.append(Candidate(subject, artifact, spec, shared_model))
    return sorted(found, key=lambda each: bool(each.spec.is_baseline))


def _remedy(model: Model, pipeline: str) -> str:
    chosen = f'--pipeline {pipeline} --why "..."`'
    return (
        f"compare with another model: `prodml baseline set MODEL {chosen} (the new model is "
        f"{model.id}), or return to the latest blessed model: `prodml baseline reset {chosen}"
    )
