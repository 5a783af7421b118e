"""Runs each signature of the exported model once, as a model server would."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tensorflow.python.saved_model import loader_impl

from prodml.components.trainer.parsed_examples import parsed_features
from prodml.errors import InputDataError, ServingError, UserCodeError
from prodml.scan.saved_model_scan import scan
from prodml.serving.clients.signature_inputs import (
    complete_rows,
    examples_input,
    serialized_examples,
    signature_inputs,
)
from prodml.serving.models.saved_model import SavedModel
from prodml.serving.values.data_types import Array, string_array

_REMEDY = (
    "export it with prodml.components.export_model(model, fn_args.serving_model_dir, ...), or with "
    "model.export(...) of Keras; set check_servable=False on the Trainer to skip this check"
)
_MODEL_FAULT_CODES = ("FAILED_PRECONDITION", "NOT_FOUND", "UNIMPLEMENTED")
"""Codes of failures that occur on every request: no value, no table, no kernel."""


def check_servable(directory: str, rows: pa.RecordBatch, *, are_raw: bool) -> list[str]:
    """Runs each signature of a SavedModel once, in a session as TF Serving does.

    Args:
        directory: directory of the SavedModel.
        rows: some of the examples that the model was trained on. A signature that they do not
            match is called with zeros and empty strings.
        are_raw: whether the rows are raw, as a client sends them, and not transformed: each
            failure on rows that match a signature is then a fault of the model.

    Returns:
        A message for each signature that could not be checked.

    Raises:
        UserCodeError: the model has no signature, or some cannot be served; the message names
            them.
    """
    # Free the trained model before the exported one is loaded.
    gc.collect()
    try:
        model = SavedModel(directory)
    except ServingError as error:
        raise UserCodeError(
            f"the model that run_fn exported cannot be loaded by a model server: {error}"
        ) from error
    try:
        if not model.signatures:
            raise UserCodeError(
                f"the model that run_fn exported has no signature, so it cannot be served; "
                f"{_REMEDY}"
            )
        faults, notes = _call_signatures(directory, model, rows, are_raw)
    finally:
        model.close()
    if faults:
        raise UserCodeError(
            f"the model that run_fn exported cannot be served: {'; '.join(faults)}; {_REMEDY}"
        )
    return notes


def _call_signatures(
    directory: str, model: SavedModel, rows: pa.RecordBatch, are_raw: bool
) -> tuple[list[str], list[str]]:
    """Calls each signature, and returns faults of the model, and notes on unchecked signatures."""
    faults, notes = [], []
    graph = _serving_graph(directory)
    python_operations = _python_operations(directory)
    for name, signature in sorted(model.signatures.items()):
        if name in python_operations:
            faults.append(
                f"signature {name!r} runs Python code of this process ({python_operations[name]})"
            )
            continue
        sparse = [alias for alias, info in signature.inputs.items() if not info.name]
        if sparse:
            notes.append(
                f"signature {name!r} was not checked: its input {sparse[0]!r} is a sparse tensor"
            )
            continue
        request = _request(graph, signature, rows)
        fetches = [each for info in signature.outputs.values() for each in _tensor_names(info)]
        try:
            model.run(request.feeds, fetches)
        except ServingError as error:
            text = _first_line(error)
            unset = model.uninitialized_variables(fetches)
            if unset:
                faults.append(f"signature {name!r}: Could not find variable {', '.join(unset[:3])}")
            elif (are_raw and request.is_of_rows) or error.code in _MODEL_FAULT_CODES:
                faults.append(f"signature {name!r}: {error.code}: {text}")
            else:
                notes.append(
                    f"signature {name!r} was not checked: the examples of Trainer do not match "
                    f"its inputs, and it rejects a request of zeros and empty strings ({text}); "
                    f"use InfraValidator to check it with raw rows"
                )
    return faults, notes


@dataclass(frozen=True)
class _Request:
    """A request for a signature.

    Attributes:
        feeds: values by tensor name.
        is_of_rows: whether the values come from the examples.
    """

    feeds: Mapping[str, Array]
    is_of_rows: bool


def _request(graph: Any, signature: Any, rows: pa.RecordBatch) -> _Request:
    tensors = {alias: info.name for alias, info in signature.inputs.items()}
    rows = rows.slice(0, _batch_size(signature) or rows.num_rows)
    name = examples_input(signature)
    features = None if name is None else parsed_features(graph, signature)
    if features is not None:
        if all(feature.is_in(rows) for feature in features):
            return _Request({tensors[name]: string_array(serialized_examples(rows))}, True)
        example = tf.train.Example()
        for feature in features:
            feature.add_empty(example)
        empty = [example.SerializeToString()] * (_batch_size(signature) or 1)
        return _Request({tensors[name]: string_array(empty)}, False)
    try:
        if name is not None and name not in rows.schema.names:
            raise InputDataError("the input is a string, but not a tf.Example")
        complete = complete_rows(signature, rows)
        if complete.num_rows:
            inputs = signature_inputs(signature, complete)
            return _Request({tensors[alias]: value for alias, value in inputs.items()}, True)
    except InputDataError:
        pass
    return _Request(dict(_empty(signature)), False)


def _batch_size(signature: Any) -> int:
    """The fixed number of rows of the signature's inputs; 0 if any number is accepted."""
    sizes = [dim.size for info in signature.inputs.values() for dim in info.tensor_shape.dim[:1]]
    return max(0, *sizes) if sizes else 0


def _empty(signature: Any) -> Iterator[tuple[str, Array]]:
    """One row of zeros and empty strings."""
    for info in signature.inputs.values():
        dtype = tf.as_dtype(info.dtype)
        shape = [max(dim.size, 1) for dim in info.tensor_shape.dim]
        if dtype == tf.string:
            yield info.name, np.full(shape, b"", object)
        else:
            yield info.name, np.zeros(shape, dtype.as_numpy_dtype)


def _tensor_names(info: Any) -> list[str]:
    sparse = info.coo_sparse
    names = [
        info.name,
        sparse.values_tensor_name,
        sparse.indices_tensor_name,
        sparse.dense_shape_tensor_name,
    ]
    composite = [n for each in info.composite_tensor.components for n in _tensor_names(each)]
    return [name for name in names if name] + composite


def _serving_graph(directory: str) -> Any:
    graphs = loader_impl.parse_saved_model(directory).meta_graphs
    return next(g for g in graphs if tf.saved_model.SERVING in g.meta_info_def.tags)


def _python_operations(directory: str) -> dict[str, str]:
    """The operations that run Python code, by signature; they work only in this process."""
    return {
        by.removeprefix("signature "): finding.operation
        for finding in scan(directory)
        if finding.danger == "runs Python"
        for by in finding.reached_from
    }


def _first_line(error: ServingError) -> str:
    lines = str(error).strip().splitlines() or [error.code]
    has_heading = lines[0].endswith("root error(s) found.") and len(lines) > 1
    return lines[1 if has_heading else 0].strip()
