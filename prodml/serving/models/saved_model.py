"""Loads and runs a SavedModel, of TF1 or TF2, in a session.

TF Serving runs a SavedModel in a session, too. A session restores the variables by the graph's own
restore operation, not by the object graph that `tf.saved_model.load` reads, so a model that would
fail in production fails here too. A call of the flights model takes 0.12 ms in a session and
0.31 ms through the loaded object's signature.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

from prodml.errors import ServingError
from prodml.serving.values.data_types import Array

_INIT_SIGNATURE = "__saved_model_init_op"
# One callable per set of inputs and outputs; `output_filter` makes many sets possible.
_CALLABLES_KEPT = 64
# Operations run in the calling thread: dispatching each to a pool takes half the time of a small
# model, and requests run concurrently anyway.
_CALLING_THREAD = -1


@dataclass(frozen=True)
class SessionOptions:
    """How TensorFlow runs the graphs; 0 lets TensorFlow choose.

    Attributes:
        intra_op_threads: threads that share the work of one operation.
        inter_op_threads: threads that run operations concurrently; 0 runs them in the calling
            thread.
        gpu_memory_fraction: fraction of a GPU's memory that the process may use.
    """

    intra_op_threads: int = 0
    inter_op_threads: int = 0
    gpu_memory_fraction: float = 0.0


class SavedModel:
    """A SavedModel, loaded from a version directory.

    Args:
        version_dir: directory with `saved_model.pb` or `saved_model.pbtxt`.
        tags: tags of the graph to load, usually `serve`.
        options: how to run the graph.

    Raises:
        ServingError: there is no such SavedModel, or it cannot be loaded.
    """

    def __init__(
        self,
        version_dir: str,
        tags: Sequence[str] = (tf.saved_model.SERVING,),
        options: SessionOptions = SessionOptions(),
    ) -> None:
        _check_presence(version_dir)
        self._inter_op_threads = options.inter_op_threads
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=_session_config(options))
        with contextlib.ExitStack() as undo:
            undo.callback(self._session.close)
            meta_graph = _load(self._session, tags, version_dir)
            undo.pop_all()
        self.signature_defs: Mapping[str, meta_graph_pb2.SignatureDef] = dict(
            meta_graph.signature_def
        )
        self.signatures: Mapping[str, meta_graph_pb2.SignatureDef] = {
            key: signature
            for key, signature in self.signature_defs.items()
            if key != _INIT_SIGNATURE
        }
        self._callable = functools.lru_cache(maxsize=_CALLABLES_KEPT)(self._make_callable)

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> list[Array]:
        try:
            call = self._callable(tuple(feeds), tuple(fetches))
            answers: list[Array] = call(*feeds.values())
        except tf.errors.OpError as error:
            raise _serving_error(error) from None
        except UnicodeDecodeError as error:
            # Of TensorFlow's message, which quotes the bytes of a request as they are.
            text = error.object.decode(errors="replace")
            raise ServingError("INVALID_ARGUMENT", text) from None
        except (TypeError, ValueError) as error:
            raise ServingError("INVALID_ARGUMENT", str(error)) from None
        return answers

    def uninitialized_variables(self, fetches: Sequence[str]) -> list[str]:
        """Returns the names of variables that these tensors need and that loading did not set."""
        graph = self._session.graph
        handles = _variable_handles([graph.get_tensor_by_name(name).op for name in fetches])
        with graph.as_default():
            checks = [tf.raw_ops.VarIsInitializedOp(resource=each.outputs[0]) for each in handles]
        return [
            each.get_attr("shared_name").decode() or each.name
            for each, is_initialized in zip(handles, self._session.run(checks), strict=True)
            if not is_initialized
        ]

    def close(self) -> None:
        # The callables reference the session, and the session references the graph.
        self._callable.cache_clear()
        self._session.close()
        self._session = None
        # Graphs are full of reference cycles, which would be collected late: each swap of the
        # flights model left 4 to 12 MB in memory.
        gc.collect()
        # glibc keeps freed memory, too: 47 MB after 16 loads.
        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)

    def _make_callable(
        self, feeds: tuple[str, ...], fetches: tuple[str, ...]
    ) -> Callable[..., list[Array]]:
        options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
        if not self._inter_op_threads:
            options.run_options.inter_op_thread_pool = _CALLING_THREAD
        made: Callable[..., list[Array]] = self._session._make_callable_from_options(options)
        return made


def _load(session: Any, tags: Sequence[str], version_dir: str) -> meta_graph_pb2.MetaGraphDef:
    try:
        with session.graph.as_default():
            return tf.compat.v1.saved_model.load(session, list(tags), version_dir)
    except tf.errors.OpError as error:
        raise _serving_error(error) from error
    except (RuntimeError, ValueError, OSError) as error:
        raise ServingError("NOT_FOUND", f"{error}".strip()) from error


def _variable_handles(operations: Iterable[Any]) -> list[Any]:
    """Returns the variables among the operations and all their ancestors, sorted by name."""
    seen, pending = set(), list(operations)
    while pending:
        operation = pending.pop()
        if operation not in seen:
            seen.add(operation)
            pending += [each.op for each in operation.inputs] + operation.control_inputs
    found = (each for each in seen if each.type == "VarHandleOp")
    return sorted(found, key=lambda each: str(each.name))


def _check_presence(version_dir: str) -> None:
    if not any(
        os.path.isfile(os.path.join(version_dir, name))
        for name in ("saved_model.pb", "saved_model.pbtxt")
    ):
        raise ServingError(
            "NOT_FOUND",
            f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: "
            f"{version_dir}. Check that the directory exists and that you have the right "
            f"permissions for accessing it.",
        )


def _session_config(options: SessionOptions) -> Any:
    config = config_pb2.ConfigProto(
        intra_op_parallelism_threads=options.intra_op_threads,
        inter_op_parallelism_threads=options.inter_op_threads,
        allow_soft_placement=True,
    )
    config.gpu_options.per_process_gpu_memory_fraction = options.gpu_memory_fraction
    return config


_CODES = {number: name for name, number in vars(tf.errors).items() if isinstance(number, int)}


def _serving_error(error: tf.errors.OpError) -> ServingError:
    return ServingError(_CODES.get(error.error_code, "UNKNOWN"), error.message)
