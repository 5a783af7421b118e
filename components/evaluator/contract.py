"""What an evaluation needs of a model, checked before the work starts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import tensorflow as tf
from tensorflow.python.saved_model import loader_impl

from prodml.artifacts import Model
from prodml.components.evaluator.configuration import Evaluation
from prodml.components.evaluator.parsed_features import parsed_features
from prodml.components.evaluator.tfma import model_eval_lib
from prodml.data.record_batches import serialize_examples
from prodml.dsl.component import suggest
from prodml.errors import ModelContractError

_ROWS_CALLED = 64


@dataclass(frozen=True)
class Candidate:
    """A model to evaluate.

    Attributes:
        role: "model" or "baseline model".
        model: its artifact.
        spec: its `tfma.ModelSpec`.
        shared_model: its `tfma.EvalSharedModel`, by which it is loaded once in a process.
    """

    role: str
    model: Model
    spec: Any
    shared_model: Any


@dataclass(frozen=True)
class Offer:
    """What a model was seen to offer.

    Attributes:
        computed: outputs of its preprocessing functions, as TensorInfo by name.
        predicted: outputs of the signature that predicts, as TensorInfo by name.
        takes_serialized: every signature that will be called takes serialized tf.Example.
        parsed: the features that these signatures parse; None where that is not known.
        loaded: the loaded model, where it was called; TFMA finds it again while it is held.
    """

    computed: Mapping[str, Any]
    predicted: Mapping[str, Any]
    takes_serialized: bool
    parsed: frozenset[str] | None
    loaded: Any


def candidate(role: str, model: Model, spec: Any, evaluation: Evaluation) -> Candidate:
    """A model to evaluate, which is not loaded yet."""
    shared_model = model_eval_lib.default_eval_shared_model(
        eval_saved_model_path=model.serving_model_dir,
        model_name=spec.name,
        eval_config=evaluation.config,
        rubber_stamp=evaluation.are_changes_ignored,
    )
    return Candidate(role, model, spec, shared_model)


def check_model(candidate: Candidate, sample: pa.RecordBatch, config: Any) -> Offer:
    """Checks signatures, labels, weights and slices against the examples, and calls the model.

    Args:
        candidate: the model and how it is to be called.
        sample: the first batch of the examples; rare features are not in every row.
        config: the complete `tfma.EvalConfig`.

    Raises:
        ModelContractError: a mismatch, told as what was expected and what is there.
    """
    spec = candidate.spec
    graph = _serving_graph(candidate)
    signatures = dict(graph.signature_def)
    called = [spec.signature_name, *spec.preprocessing_function_names]
    columns = frozenset(sample.schema.names)
    for name in called:
        _require_signature(candidate, name, signatures)
        _require_inputs(candidate, name, signatures[name], columns)
    computed = {
        output: tensor
        for name in spec.preprocessing_function_names
        for output, tensor in signatures[name].outputs.items()
    }
    _require_outputs(candidate, signatures[spec.signature_name], config)
    _require_keys(candidate, config, columns, frozenset(computed))
    takes_serialized = all(_takes_serialized(signatures[name], columns) for name in called)
    loaded = _call(candidate, called, sample) if takes_serialized else None
    parsed = _parsed(graph, called) if takes_serialized else None
    predicted = dict(signatures[spec.signature_name].outputs)
    return Offer(computed, predicted, takes_serialized, parsed, loaded)


def _parsed(graph: Any, called: Sequence[str]) -> frozenset[str] | None:
    every = [parsed_features(graph, graph.signature_def[name]) for name in called]
    known = [features for features in every if features is not None]
    return frozenset().union(*known) if len(known) == len(every) else None


def _serving_graph(candidate: Candidate) -> Any:
    directory = candidate.model.serving_model_dir
    if not os.path.isfile(os.path.join(directory, "saved_model.pb")):
        raise ModelContractError(
            f"{candidate.role}: expected a SavedModel in {directory}, got none"
        )
    graphs = loader_impl.parse_saved_model(directory).meta_graphs
    serving = [g for g in graphs if tf.saved_model.SERVING in g.meta_info_def.tags]
    if not serving:
        raise ModelContractError(
            f"{candidate.role} {directory}: expected the tag 'serve', got "
            f"{', '.join(sorted({tag for g in graphs for tag in g.meta_info_def.tags})) or 'none'}"
        )
    return serving[0]


def _require_signature(candidate: Candidate, name: str, signatures: Mapping[str, Any]) -> None:
    if name not in signatures:
        offered = [s for s in signatures if not s.startswith("__")]
        raise ModelContractError(
            f"{candidate.role} {candidate.model.uri}: expected a signature {name!r}, got "
            f"{_listed(offered)}; export it in run_fn, or set signature_name and "
            f"preprocessing_function_names of the ModelSpec"
        )


def _require_inputs(
    candidate: Candidate, name: str, signature: Any, columns: frozenset[str]
) -> None:
    if _takes_serialized(signature, columns):
        return
    missing = [i for i in signature.inputs if not {i, i.removesuffix("_input")} & columns]
    if missing:
        raise ModelContractError(
            f"{candidate.role} {candidate.model.uri}: signature {name!r} expects the feature(s) "
            f"{_listed(missing)}, got examples with {_listed(columns)}; evaluate with a signature "
            f"that takes serialized tf.Example, or on the examples the model was trained on"
        )


def _takes_serialized(signature: Any, columns: frozenset[str]) -> bool:
    if len(signature.inputs) != 1:
        return False
    [(name, tensor)] = signature.inputs.items()
    return tensor.dtype == tf.string.as_datatype_enum and name not in columns


def _require_outputs(candidate: Candidate, signature: Any, config: Any) -> None:
    spec, outputs = candidate.spec, sorted(signature.outputs)
    asked = [spec.prediction_key] if spec.prediction_key else list(spec.prediction_keys.values())
    asked += [name for metrics in config.metrics_specs for name in metrics.output_names]
    where = f"{candidate.role} {candidate.model.uri}: signature {spec.signature_name!r}"
    if len(outputs) > 1 and not asked:
        raise ModelContractError(
            f"{where}: expected one output, got {_listed(outputs)}; name one in prediction_key"
        )
    for name in asked:
        if len(outputs) > 1 and name not in outputs:
            raise ModelContractError(
                f"{where}: expected an output {name!r}, got {_listed(outputs)}"
            )


def _require_keys(
    candidate: Candidate, config: Any, columns: frozenset[str], computed: frozenset[str]
) -> None:
    spec = candidate.spec
    labels = [spec.label_key] if spec.label_key else list(spec.label_keys.values())
    if not labels:
        raise ModelContractError(
            f"the ModelSpec of the {candidate.role} has no label_key; set it to the feature that "
            f"holds the label"
        )
    weights = [spec.example_weight_key, *spec.example_weight_keys.values()]
    asked = [
        *(("label_key", key) for key in labels),
        *(("example_weight_key", key) for key in weights if key),
        *(("slice", key) for key in slice_features(config)),
        *(("query_key", m.query_key) for m in config.metrics_specs if m.query_key),
    ]
    known = columns | computed
    functions = ", ".join(spec.preprocessing_function_names)
    for what, key in asked:
        if key not in known:
            raise ModelContractError(
                f"{what} {key!r}: expected a feature of the examples"
                f"{f' or an output of {functions}' if functions else ''}, got none"
                f"{suggest(key, known)}"
            )


def slice_features(config: Any) -> list[str]:
    """Features that the slices of a complete `tfma.EvalConfig` are made by."""
    specs = [
        *config.slicing_specs,
        *(cross.baseline_spec for cross in config.cross_slicing_specs),
        *(spec for cross in config.cross_slicing_specs for spec in cross.slicing_specs),
    ]
    return sorted({key for s in specs for key in (*s.feature_keys, *s.feature_values)})


_UNPARSED = (
    # What tf.io.parse_example says, as (pattern, what to say instead).
    (
        re.compile(r"Feature: (\S+) \(data type: (\S+)\) is required but could not be found"),
        "expects the feature {0!r} ({1}) in every example, got an example without it",
    ),
    (
        re.compile(r"Key: ([^\s,.]+).*?Data types don't match\. (.+)"),
        "reads the feature {0!r} as another type than the examples have: {1}",
    ),
    (
        re.compile(r"Key: ([^\s,.]+).*?(Number of \S+ values != expected\..+)"),
        "expects another number of values in the feature {0!r}: {1}",
    ),
)


_WHERE_A_GRAPH_WAS_BUILT = ("Graph execution error", "Detected at", "<stack", "File ", "[[")


def _call(candidate: Candidate, names: Sequence[str], sample: pa.RecordBatch) -> Any:
    """Calls each signature on the sample: a feature that it misses is only known to its graph."""
    loaded = candidate.shared_model.model_loader.load()
    serialized = tf.constant(
        serialize_examples(sample.slice(0, _ROWS_CALLED)).to_pylist(), dtype=tf.string
    )
    for name in names:
        try:
            loaded.signatures[name](serialized)
        except (tf.errors.OpError, TypeError, ValueError) as error:
            raise ModelContractError(
                f"{candidate.role} {candidate.model.uri}: signature {name!r} "
                f"{_explained(str(error))}; evaluate on the examples the model was trained on, "
                f"or give the feature a default in the signature's parsing"
            ) from error
    return loaded


def _explained(message: str) -> str:
    for pattern, text in _UNPARSED:
        if (found := pattern.search(message)) is not None:
            return text.format(*found.groups())
    # A failed graph tells first where it was built, and last what went wrong.
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(_WHERE_A_GRAPH_WAS_BUILT)]
    return f"fails on the examples: {(telling or lines or ['no message'])[0]}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
