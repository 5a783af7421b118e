"""Checks that a model provides what an evaluation needs, before the evaluation starts."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import tensorflow as tf
from tensorflow.python.saved_model import loader_impl

from prodml.components.evaluator.candidates import Candidate
from prodml.components.evaluator.parsed_features import parsed_features
from prodml.components.evaluator.predictions import read_outputs
from prodml.components.evaluator.sample import Sample
from prodml.data.record_batches import serialize_examples
from prodml.serving.clients.signature_inputs import examples_input
from prodml.suggestions import suggest

_ROWS_CALLED = 64


@dataclass(frozen=True)
class Capabilities:
    """The outputs and inputs of a model that an evaluation uses.

    Attributes:
        computed: outputs of the model's preprocessing functions, as TensorInfo by name.
        predicted: outputs of the signature that predicts, as TensorInfo by name.
        takes_serialized: whether every signature to call accepts serialized tf.Example.
        parsed: the features that these signatures parse; None if unknown.
        loaded: the loaded model, or None if it was not called. TFMA reuses the model as long as
            there is a reference to it.
    """

    computed: Mapping[str, Any]
    predicted: Mapping[str, Any]
    takes_serialized: bool
    parsed: frozenset[str] | None
    loaded: Any


def check_model(candidate: Candidate, sample: Sample, config: Any) -> Capabilities:
    """Checks signatures, labels, weights and slices against the examples, and calls the model.

    Args:
        candidate: the model with its ModelSpec.
        sample: sample of the examples.
        config: the complete `tfma.EvalConfig`.

    Raises:
        ModelContractError: the model does not match; the message says what was expected and what
            was found.
    """
    spec = candidate.spec
    graph = _serving_graph(candidate)
    signatures = dict(graph.signature_def)
    called = [spec.signature_name, *spec.preprocessing_function_names]
    for name in called:
        _require_signature(candidate, name, signatures)
        _require_inputs(candidate, name, signatures[name], sample)
    computed = {
        output: tensor
        for name in spec.preprocessing_function_names
        for output, tensor in signatures[name].outputs.items()
    }
    _require_outputs(candidate, signatures[spec.signature_name], config)
    _require_keys(candidate, config, sample, frozenset(computed))
    takes_serialized = all(_takes_serialized(signatures[name], sample.columns) for name in called)
    loaded = _call(candidate, called, sample.batch) if takes_serialized else None
    parsed = _parsed(graph, called) if takes_serialized else None
    predicted = dict(signatures[spec.signature_name].outputs)
    return Capabilities(computed, predicted, takes_serialized, parsed, loaded)


def check_baseline(
    candidates: Sequence[Candidate], capabilities: Sequence[Capabilities], config: Any
) -> None:
    """Checks that the baseline model predicts as many values per row as the new model.

    Args:
        candidates: the models, the new one first.
        capabilities: the capabilities of each model, in the same order.
        config: the complete `tfma.EvalConfig`.

    Raises:
        ModelContractError: the numbers of outputs or values differ, so the same metrics cannot be
            computed for both models.
    """
    widths = [
        _widths(found, read_outputs(each.spec, config))
        for each, found in zip(candidates, capabilities, strict=True)
    ]
    for each, found in zip(candidates[1:], widths[1:], strict=True):
        if len(found) != len(widths[0]):
            raise each.subject.refusal(
                f"it has {len(found)} of the evaluated outputs, but the new model has "
                f"{len(widths[0])}",
                "compare with a model that has the same outputs",
            )
        for mine, other in zip(widths[0], found, strict=True):
            if None not in (mine, other) and mine != other:
                raise each.subject.refusal(
                    f"it predicts {other} value(s) per row, but the new model predicts {mine}",
                    "compare with a model that has the same outputs",
                )


def _widths(capabilities: Capabilities, outputs: frozenset[str]) -> list[int | None]:
    """Number of values per row of each evaluated output; None if the model does not declare it."""
    predicted = capabilities.predicted
    shapes = [
        tensor.tensor_shape
        for name, tensor in sorted(predicted.items())
        if len(predicted) == 1 or name in outputs
    ]
    return [None if shape.unknown_rank else _width(shape.dim) for shape in shapes]


def _width(dimensions: Any) -> int | None:
    size = math.prod(dimension.size for dimension in dimensions[1:])
    return size if all(dimension.size > 0 for dimension in dimensions[1:]) else None


def _parsed(graph: Any, called: Sequence[str]) -> frozenset[str] | None:
    every = [parsed_features(graph, graph.signature_def[name]) for name in called]
    known = [features for features in every if features is not None]
    return frozenset().union(*known) if len(known) == len(every) else None


def _serving_graph(candidate: Candidate) -> Any:
    directory = candidate.model.serving_model_dir
    if not os.path.isfile(os.path.join(directory, "saved_model.pb")):
        raise candidate.subject.refusal(f"no SavedModel in {directory}", "train the model again")
    graphs = loader_impl.parse_saved_model(directory).meta_graphs
    serving = [g for g in graphs if tf.saved_model.SERVING in g.meta_info_def.tags]
    if not serving:
        tags = sorted({tag for g in graphs for tag in g.meta_info_def.tags})
        raise candidate.subject.refusal(
            f"expected the tag 'serve', got {', '.join(tags) or 'none'}",
            "export it with tf.saved_model.save or model.export",
        )
    return serving[0]


def _require_signature(candidate: Candidate, name: str, signatures: Mapping[str, Any]) -> None:
    if name not in signatures:
        offered = [s for s in signatures if not s.startswith("__")]
        raise candidate.subject.refusal(
            f"expected a signature {name!r}, got {_listed(offered)}",
            "export it in run_fn, or set signature_name and preprocessing_function_names of the "
            "ModelSpec",
        )


def _require_inputs(candidate: Candidate, name: str, signature: Any, sample: Sample) -> None:
    if _takes_serialized(signature, sample.columns):
        return
    missing = [
        i for i in signature.inputs if i in sample.lacks([i]) and sample.lacks([_plain_name(i)])
    ]
    if missing:
        raise candidate.subject.refusal(
            f"signature {name!r} expects the feature(s) {_listed(missing)}, got examples with "
            f"{_listed(sample.columns)}",
            "evaluate with a signature that accepts serialized tf.Example, or on the examples that "
            "the model was trained on",
        )


def _plain_name(keras_input: str) -> str:
    return keras_input.removesuffix("_input")


def _takes_serialized(signature: Any, columns: frozenset[str]) -> bool:
    name = examples_input(signature)
    return name is not None and name not in columns


def _require_outputs(candidate: Candidate, signature: Any, config: Any) -> None:
    spec, outputs = candidate.spec, sorted(signature.outputs)
    wanted = sorted(read_outputs(spec, config))
    where = f"signature {spec.signature_name!r}"
    if len(outputs) > 1 and not wanted:
        raise candidate.subject.refusal(
            f"{where}: expected one output, got {_listed(outputs)}",
            "set prediction_key to one of them",
        )
    if len(outputs) == 1:
        return
    for name in wanted:
        if name not in outputs:
            raise candidate.subject.refusal(
                f"{where}: expected an output {name!r}, got {_listed(outputs)}",
                "set prediction_key or output_names to outputs of the signature",
            )


def _require_keys(
    candidate: Candidate, config: Any, sample: Sample, computed: frozenset[str]
) -> None:
    spec = candidate.spec
    labels = [spec.label_key] if spec.label_key else list(spec.label_keys.values())
    if not labels:
        raise candidate.subject.refusal(
            "its ModelSpec has no label_key", "set it to the feature that contains the label"
        )
    weights = [spec.example_weight_key, *spec.example_weight_keys.values()]
    wanted = [
        *(("label_key", key) for key in labels),
        *(("example_weight_key", key) for key in weights if key),
        *(("slice", key) for key in slice_features(config)),
        *(("query_key", m.query_key) for m in config.metrics_specs if m.query_key),
    ]
    missing = sample.lacks({key for _, key in wanted} - computed)
    known = sample.columns | computed
    functions = ", ".join(spec.preprocessing_function_names)
    for what, key in wanted:
        if key in missing:
            raise candidate.subject.refusal(
                f"{what} {key!r}: expected a feature of the examples"
                f"{f' or an output of {functions}' if functions else ''}, got none"
                f"{suggest(key, known)}",
                "fix the name in eval_config",
            )


def slice_features(config: Any) -> list[str]:
    """Names of the features that define the slices of a complete `tfma.EvalConfig`."""
    specs = [
        *config.slicing_specs,
        *(cross.baseline_spec for cross in config.cross_slicing_specs),
        *(spec for cross in config.cross_slicing_specs for spec in cross.slicing_specs),
    ]
    return sorted({key for s in specs for key in (*s.feature_keys, *s.feature_values)})


_PARSE_ERRORS = (
    # Messages of tf.io.parse_example, as (pattern, replacement).
    (
        re.compile(r"Feature: (\S+) \(data type: (\S+)\) is required but could not be found"),
        "requires the feature {0!r} ({1}) in every example, but an example lacks it",
    ),
    (
        re.compile(r"Key: ([^\s,.]+).*?Data types don't match\. (.+)"),
        "parses the feature {0!r} with a type that differs from the examples: {1}",
    ),
    (
        re.compile(r"Key: ([^\s,.]+).*?(Number of \S+ values != expected\..+)"),
        "expects a different number of values in the feature {0!r}: {1}",
    ),
)


_GRAPH_TRACEBACK = ("Graph execution error", "Detected at", "<stack", "File ", "[[")


def _call(candidate: Candidate, names: Sequence[str], sample: pa.RecordBatch) -> Any:
    """Calls each signature on the sample; only the graph knows which features it requires."""
    try:
        loaded = candidate.shared_model.model_loader.load()
    except Exception as error:  # TensorFlow raises many types, depending on the graph and files.
        raise candidate.subject.refusal(
            f"it cannot be loaded: {_last_line(error)}", "export it again in run_fn"
        ) from error
    serialized = tf.constant(
        serialize_examples(sample.slice(0, _ROWS_CALLED)).to_pylist(), dtype=tf.string
    )
    for name in names:
        try:
            loaded.signatures[name](serialized)
        except (tf.errors.OpError, TypeError, ValueError) as error:
            raise candidate.subject.refusal(
                f"signature {name!r} {_explained(str(error))}",
                "evaluate on the examples that the model was trained on, or set a default for the "
                "feature where the signature parses it",
            ) from error
    return loaded


def _explained(message: str) -> str:
    for pattern, text in _PARSE_ERRORS:
        if (found := pattern.search(message)) is not None:
            return text.format(*found.groups())
    # The error of a graph starts with the traceback of its construction; the cause comes last.
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    causes = [line for line in lines if not line.startswith(_GRAPH_TRACEBACK)]
    return f"fails on the examples: {(causes or lines or ['no message'])[0]}"


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
