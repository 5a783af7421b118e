"""Finds the reasons why an evaluation must be computed row by row by TFMA."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from prodml.components.evaluator.contract import Capabilities
from prodml.components.evaluator.sample import Sample
from prodml.components.evaluator.tfma import config_pb2, constants, metric_types
from prodml.components.evaluator.whole_batches.batch_extractors import computations
from prodml.components.evaluator.whole_batches.counting_combiners import summed


def row_by_row_reasons(
    config: Any, capabilities: Sequence[Capabilities], sample: Sample
) -> list[str]:
    """The reasons for an evaluation row by row; empty if whole batches can be evaluated.

    Args:
        config: a complete `tfma.EvalConfig`.
        capabilities: the capabilities of each model.
        sample: sample of the examples, which has the columns of labels and weights.
    """
    return [
        *_of_options(config),
        *(f"metric {name} is computed row by row" for name in _metrics(config)),
        *_of_predictions(capabilities),
        *_of_labels(config, capabilities, sample),
    ]


def _of_options(config: Any) -> Iterator[str]:
    if config.options.compute_confidence_intervals.value:
        yield "confidence intervals sample the rows"
    if any(spec.query_key for spec in config.metrics_specs):
        yield "query_key groups the rows"
    if any(spec.slice_keys_sql for spec in config.slicing_specs):
        yield "slice_keys_sql is evaluated for each row"
    outputs = {constants.METRICS_KEY, constants.PLOTS_KEY, constants.ATTRIBUTIONS_KEY}
    if outputs <= set(config.options.disabled_outputs.values):
        yield "all outputs are disabled"


def _metrics(config: Any) -> Iterator[str]:
    for spec in config.metrics_specs:
        for metric in spec.metrics:
            single = config_pb2.MetricsSpec()
            single.CopyFrom(spec)
            del single.metrics[:]
            single.metrics.append(metric)
            separated = computations([single], config).non_derived_computations
            if not all(_is_summed(computation) for computation in separated):
                yield metric.class_name


def _is_summed(computation: Any) -> bool:
    usual = _reads_as_usual(computation.preprocessors)
    return usual and summed(computation.combiner) is not None


def _reads_as_usual(preprocessors: Any) -> bool:
    usual = metric_types.StandardMetricInputsPreprocessor
    return not preprocessors or [type(each) for each in preprocessors] == [usual]


def _of_predictions(capabilities: Sequence[Capabilities]) -> Iterator[str]:
    for each in capabilities:
        for name, output in sorted(each.predicted.items()):
            if not _is_row(output.tensor_shape):
                yield f"output {name!r} is not a vector of known length for each row"
        if {"classes", "scores"} <= each.predicted.keys() or "all_classes" in each.predicted:
            yield "the model names its classes"


def _is_row(shape: Any) -> bool:
    if shape.unknown_rank or len(shape.dim) not in (1, 2):
        return False
    return len(shape.dim) == 1 or shape.dim[1].size > 0


def _of_labels(config: Any, capabilities: Sequence[Capabilities], sample: Sample) -> Iterator[str]:
    specs = config.model_specs
    labels = {key for s in specs for key in (s.label_key, *s.label_keys.values())} - {""}
    weights = {
        key for s in specs for key in (s.example_weight_key, *s.example_weight_keys.values())
    } - {""}
    for name in sorted(labels | weights):
        computed = [each.computed[name] for each in capabilities if name in each.computed]
        if computed:
            is_single = all(_is_single_number(tensor) for tensor in computed)
        else:
            is_single = _has_single_numbers(sample, name, may_lack=name in labels)
        if not is_single:
            what = "label" if name in labels else "weight"
            yield f"{what} {name!r} is not one number per row"


def _is_single_number(tensor: Any) -> bool:
    shape = tensor.tensor_shape
    is_single = _is_row(shape) and (len(shape.dim) == 1 or shape.dim[1].size == 1)
    return is_single and tf.as_dtype(tensor.dtype).is_numeric


def _has_single_numbers(sample: Sample, name: str, may_lack: bool) -> bool:
    column = sample.column(name)
    values = column.type.value_type
    if not (pa.types.is_integer(values) or pa.types.is_floating(values)):
        return False
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    if may_lack:  # Rows without a label are skipped.
        lengths = lengths.filter(pc.greater(lengths, 0))
    return bool(pc.all(pc.equal(lengths, 1)).as_py() is not False)
