"""Executor of Evaluator."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from prodml.artifacts import Examples, Model, ModelBlessing, ModelEvaluation
from prodml.components.evaluator.analysis import Columns, Split, SplitRows, analyze
from prodml.components.evaluator.candidates import candidates
from prodml.components.evaluator.configuration import complete, read_eval_config
from prodml.components.evaluator.contract import (
    Capabilities,
    check_baseline,
    check_model,
    slice_features,
)
from prodml.components.evaluator.recorded_metrics import METRICS, recorded_metrics
from prodml.components.evaluator.sample import read_sample
from prodml.components.evaluator.schema_check import check_schema
from prodml.components.evaluator.verdict import Verdict, reach_verdict
from prodml.components.evaluator.whole_batches.row_by_row import row_by_row_reasons
from prodml.data.examples_layout import ROW_COUNTS, payload_format, row_count, split_files
from prodml.data.record_batches import BATCH_SIZE
from prodml.dsl.executor import ExecutorContext
from prodml.errors import InputDataError

_MAX_PREDICTIONS = 1 << 19
"""Per batch: if a metric is averaged over all classes, each prediction becomes a separate pair."""
_MIN_ROWS = 128


def execute(context: ExecutorContext) -> None:
    model = context.input("model", Model)
    baseline = context.optional_input("baseline_model", Model)
    evaluation = complete(
        read_eval_config(context.parameters["eval_config"]), has_baseline=baseline is not None
    )
    splits = _splits(context)
    sample = read_sample(splits)
    check_schema(context, sample)
    models = candidates(evaluation, model, baseline, context.pipeline_name)
    capabilities = [check_model(each, sample, evaluation.config) for each in models]
    check_baseline(models, capabilities, evaluation.config)
    recorded = context.output("evaluation", ModelEvaluation)
    output = recorded.uri
    by_row = row_by_row_reasons(evaluation.config, capabilities, sample)
    columns = _columns(capabilities, evaluation.config, is_pruned=not by_row)
    if by_row:
        context.note(f"evaluated row by row, which is slow: {'; '.join(by_row)}")
    rows = analyze(
        splits,
        models,
        evaluation,
        columns,
        not by_row,
        output,
        context.beam,
        _batch_size(capabilities),
    )
    _reconcile(context, rows)
    recorded.custom_properties[METRICS] = recorded_metrics(output, evaluation.config)
    verdict = reach_verdict(output, evaluation, baseline)
    _bless(context, verdict, model, baseline)


def _bless(
    context: ExecutorContext, verdict: Verdict, model: Model, baseline: Model | None
) -> None:
    blessing = context.output("blessing", ModelBlessing)
    name = "BLESSED" if verdict.is_blessed else "NOT_BLESSED"
    with open(os.path.join(blessing.uri, name), "wb"):
        pass
    blessing.custom_properties.update(
        blessed=int(verdict.is_blessed),
        current_model=model.final_uri or model.uri,
        current_model_id=model.id,
        component_id=context.node_id,
        verdict=name,
        reason=verdict.reason,
    )
    if baseline is not None:
        blessing.custom_properties.update(
            baseline_model=baseline.final_uri or baseline.uri, baseline_model_id=baseline.id
        )
    context.note(f"{'blessed' if verdict.is_blessed else 'not blessed'}: {verdict.reason}")


def _splits(context: ExecutorContext) -> list[Split]:
    names = _split_names(context)
    splits = []
    for name in names:
        for examples in _examples(context):
            if name not in examples.split_names:
                raise InputDataError(
                    f"expected a split {name!r} in {examples.uri}, got "
                    f"{', '.join(examples.split_names) or 'none'}; set example_splits"
                )
            splits.append(Split(name, split_files(examples, name), payload_format(examples)))
    return splits


def _reconcile(context: ExecutorContext, rows: Mapping[str, SplitRows]) -> None:
    for split, counted in rows.items():
        read = _stored_rows(context, split)
        if read is None:
            read = counted.evaluated + counted.unlabelled
        left_out = {"label missing": counted.unlabelled} if counted.unlabelled else None
        context.reconcile(split, read, counted.evaluated, left_out)
        if counted.unlabelled:
            context.note(f"{counted.unlabelled} of {read} rows of split {split!r} have no label")
    if not sum(counted.evaluated for counted in rows.values()):
        raise InputDataError(
            f"no row of the split(s) {', '.join(rows)} has a label; check label_key, or evaluate "
            f"on labelled examples"
        )


def _stored_rows(context: ExecutorContext, split: str) -> int | None:
    """Number of rows of a split, as counted on writing; None if imported examples lack it."""
    examples = _examples(context)
    if any(ROW_COUNTS not in artifact.custom_properties for artifact in examples):
        return None
    return sum(row_count(artifact, split) for artifact in examples)


def _split_names(context: ExecutorContext) -> Sequence[str]:
    return context.parameters["example_splits"] or ["eval"]


def _examples(context: ExecutorContext) -> list[Examples]:
    return [e for e in context.inputs["examples"] if isinstance(e, Examples)]


def _batch_size(capabilities: Sequence[Capabilities]) -> int:
    """Number of rows per batch; smaller if each row has predictions of many classes."""
    shapes = [out.tensor_shape.dim for each in capabilities for out in each.predicted.values()]
    widest = max([shape[-1].size for shape in shapes if len(shape) > 1], default=1)
    return min(BATCH_SIZE, max(_MIN_ROWS, _MAX_PREDICTIONS // max(widest, 1)))


def _columns(capabilities: Sequence[Capabilities], config: Any, is_pruned: bool) -> Columns:
    """The columns that TFMA itself reads, and the labels and weights among them.

    Args:
        capabilities: the capabilities of each model.
        config: the complete `tfma.EvalConfig`.
        is_pruned: whether to omit columns that nothing reads. Metrics that are computed row by row
            may read any feature, and do not declare which.
    """
    specs = config.model_specs
    labels = {key for s in specs for key in (s.label_key, *s.label_keys.values())}
    weights = {
        key for s in specs for key in (s.example_weight_key, *s.example_weight_keys.values())
    }
    computed = frozenset({""}).union(*(each.computed for each in capabilities))
    columns = Columns(None, sorted(labels - computed), sorted(weights - computed))
    if not is_pruned or not all(each.takes_serialized for each in capabilities):
        return columns
    every = [each.parsed for each in capabilities]
    known = [features for features in every if features is not None]
    return dataclasses.replace(
        columns,
        keep=sorted((labels | weights | set(slice_features(config))) - {""}),
        parsed=sorted(frozenset().union(*known)) if len(known) == len(every) else None,
    )
