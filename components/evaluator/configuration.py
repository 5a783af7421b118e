"""Turns the parameter eval_config into the complete EvalConfig that TFMA runs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import json_format, text_format

from prodml.components.evaluator.eval_config import EvalConfig
from prodml.components.evaluator.metrics_check import (
    check_metrics,
    check_threshold_names,
    thresholds,
)
from prodml.components.evaluator.tfma import config_pb2, config_util, constants, metric_specs
from prodml.documents import parse_json, parse_text_proto
from prodml.errors import InputDataError, ModelContractError

SERVING_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class Evaluation:
    """The complete configuration of an evaluation.

    Attributes:
        config: a complete `tfma.EvalConfig`.
        has_thresholds: whether a value or change threshold applies.
        compares: whether a change threshold applies.
        unchecked_changes: metrics whose change thresholds are ignored, because there is no
            baseline model.
    """

    config: Any
    has_thresholds: bool
    compares: bool
    unchecked_changes: tuple[str, ...]


def read_eval_config(given: EvalConfig | str) -> Any:
    """Converts an EvalConfig, or reads a file, into a `tfma.EvalConfig`.

    Raises:
        InputDataError: the file does not exist or is not an EvalConfig; the message names it.
    """
    if isinstance(given, EvalConfig):
        return json_format.ParseDict(_without_none(given), config_pb2.EvalConfig())
    path = Path(given)
    if not path.is_file():
        raise InputDataError(f"eval_config {given}: the file does not exist")
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            return json_format.ParseDict(parse_json(text), config_pb2.EvalConfig())
        return parse_text_proto(text, config_pb2.EvalConfig())
    except (ValueError, json_format.ParseError, text_format.ParseError) as error:
        kind = "JSON" if path.suffix == ".json" else "text proto"
        raise InputDataError(
            f"eval_config {given}: expected an EvalConfig as {kind}, got: {error}"
        ) from error


def complete(config: Any, has_baseline: bool) -> Evaluation:
    """Completes an EvalConfig explicitly, instead of relying on TFMA's defaults.

    Models are called by signature: TFMA's default is to load them with Keras 2, which cannot read
    exports of Keras 3. All rows, and every slice that a threshold names, are evaluated even if
    `slicing_specs` does not list them. Without a baseline model, change thresholds are dropped.

    Raises:
        InputDataError: a metric is unknown, a threshold is incomplete, or model_specs does not
            have exactly one entry for the new model and at most one for the baseline model.
        ModelContractError: a model_type is not tf_generic.
    """
    _require_one_model(config)
    check_metrics(config)
    changes = _metrics_with_change_thresholds(config)
    completed = config_pb2.EvalConfig()
    completed.CopyFrom(config)
    for spec in completed.model_specs or [completed.model_specs.add()]:
        if spec.model_type not in ("", constants.TF_GENERIC):
            raise ModelContractError(
                f"model_type: expected 'tf_generic' or none, got {spec.model_type!r}; remove it: "
                f"models are called by signature"
            )
        spec.model_type = constants.TF_GENERIC
        spec.signature_name = spec.signature_name or SERVING_SIGNATURE
    if has_baseline and len(completed.model_specs) == 1 and completed.model_specs[0].name:
        # TFMA adds a baseline only if the ModelSpec has no name.
        compared = completed.model_specs.add()
        compared.CopyFrom(completed.model_specs[0])
        compared.name, compared.is_baseline = constants.BASELINE_KEY, True
    for sliced in [config_pb2.SlicingSpec(), *_slices_of_thresholds(completed)]:
        if sliced not in completed.slicing_specs:
            completed.slicing_specs.append(sliced)
    completed = config_util.update_eval_config_with_defaults(
        completed, has_baseline=has_baseline, rubber_stamp=not has_baseline
    )
    try:
        config_util.verify_eval_config(completed)
    except ValueError as error:
        raise InputDataError(f"eval_config: {error}") from error
    check_threshold_names(completed)
    applied = metric_specs.metric_thresholds_from_metrics_specs(
        completed.metrics_specs, eval_config=completed
    )
    return Evaluation(
        completed,
        has_thresholds=bool(applied),
        compares=bool(changes) and has_baseline,
        unchecked_changes=() if has_baseline else changes,
    )


def _require_one_model(config: Any) -> None:
    specs = config.model_specs
    baselines = sum(spec.is_baseline for spec in specs)
    if specs and (len(specs) - baselines != 1 or baselines > 1):
        raise InputDataError(
            f"eval_config: expected one ModelSpec of the new model and at most one with "
            f"is_baseline, got {len(specs)}, of which {baselines} with is_baseline"
        )


def _metrics_with_change_thresholds(config: Any) -> tuple[str, ...]:
    found = {
        name: None
        for spec in config.metrics_specs
        for name, threshold in thresholds(spec)
        if threshold.HasField("change_threshold")
    }
    return tuple(found)


def _slices_of_thresholds(config: Any) -> list[Any]:
    per_slice = [
        threshold
        for spec in config.metrics_specs
        for thresholds in (
            *(metric.per_slice_thresholds for metric in spec.metrics),
            *(named.thresholds for named in spec.per_slice_thresholds.values()),
        )
        for threshold in thresholds
    ]
    return [sliced for threshold in per_slice for sliced in threshold.slicing_specs]


def _without_none(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {name: _without_none(item) for name, item in fields.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items()}
    return value
