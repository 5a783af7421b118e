"""Declaration of Evaluator."""

from __future__ import annotations

from prodml.artifacts import Examples, Model, ModelBlessing, ModelEvaluation, Schema
from prodml.components.evaluator.eval_config import EvalConfig
from prodml.dsl.component import Component
from prodml.dsl.parameters import FilePath
from prodml.dsl.signature import Input, Output, Parameter


class Evaluator(Component):
    """Evaluates a model with TFMA, overall and per slice, and says whether it may be pushed.

    The model is blessed if every value threshold is met and, next to a baseline, every change
    threshold too. Without a baseline, change thresholds are set aside, and the blessing says so.
    Without any threshold, or with none that applies, the model is not blessed. The blessing
    carries the reason: the figures that decided, and the baseline. A baseline that cannot be
    evaluated on the examples fails the node: the new model is then neither blessed nor refused.

    Args:
        examples: what to evaluate on, raw or transformed, in either payload format.
        model: the candidate.
        baseline_model: what to compare with; usually the latest blessed model.
        schema: features that it requires must be in the examples.
        eval_config: an EvalConfig, TFMA's own proto, or a file of it as JSON or pbtxt.
        example_splits: splits to evaluate on; `eval` where not given.
    """

    execution_type = "tfx.components.evaluator.component.Evaluator"

    examples: Input[Examples]
    model: Input[Model]
    baseline_model: Input[Model] | None = None
    schema: Input[Schema] | None = None
    eval_config: Parameter[EvalConfig | FilePath]
    example_splits: Parameter[list[str] | None] = None
    evaluation: Output[ModelEvaluation]
    blessing: Output[ModelBlessing]
