"""Declaration of Evaluator."""

from __future__ import annotations

from prodml.artifacts import Examples, Model, ModelBlessing, ModelEvaluation, Schema
from prodml.components.evaluator.eval_config import EvalConfig
from prodml.dsl.component import Component
from prodml.dsl.parameters import FilePath
from prodml.dsl.signature import Input, Output, Parameter


class Evaluator(Component):
    """Evaluates a model with TFMA, overall and per slice, and decides whether it may be pushed.

    The model is blessed if it meets every value threshold and, if there is a baseline model, every
    change threshold. Without a baseline model, change thresholds are ignored, and the blessing
    says so. The model is not blessed if no threshold is configured, or if none applies. The
    blessing records the reason: the deciding figures and the baseline model. If the baseline model
    cannot be evaluated on the examples, the node fails, and the candidate is neither blessed nor
    rejected.

    Args:
        examples: examples to evaluate on, raw or transformed, in either payload format.
        model: the candidate model.
        baseline_model: model to compare the candidate with; usually the latest blessed model.
        schema: schema of the examples; each feature that it requires must be in the examples.
        eval_config: an EvalConfig, a `tfma.EvalConfig` proto, or the path of a JSON or pbtxt file.
        example_splits: splits to evaluate on; `eval` by default.
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
