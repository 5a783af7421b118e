"""The interface of a loaded model, independent of its format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from tensorflow.core.protobuf import meta_graph_pb2

from prodml.serving.values.data_types import Array


class Servable(Protocol):
    """One loaded version of a model.

    Attributes:
        signatures: the signatures that requests can name, by key.
        signature_defs: the SignatureDefs that the model declares, by key: the signatures, and for
            a SavedModel of TF2 the operation that initializes it.
    """

    signatures: Mapping[str, meta_graph_pb2.SignatureDef]
    signature_defs: Mapping[str, meta_graph_pb2.SignatureDef]

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> list[Array]:
        """Computes tensors from tensors. Blocks; several threads may call it at once.

        Args:
            feeds: values by tensor name, the `name` of a signature's TensorInfo; strings are
                object arrays of bytes.
            fetches: names of the tensors to compute.

        Returns:
            The values in the order of `fetches`.

        Raises:
            ServingError: the model could not compute them.
        """

    def close(self) -> None:
        """Frees the model's resources. No call may be running or follow."""
