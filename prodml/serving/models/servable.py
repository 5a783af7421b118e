"""What a model server asks of a loaded model, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from tensorflow.core.protobuf import meta_graph_pb2

from prodml.serving.values.data_types import Array


class Servable(Protocol):
    """One loaded version of a model.

    Attributes:
        signatures: what can be asked, by key.
        signature_defs: what the model declares, by key: the signatures, and for a SavedModel of
            TF2 the operation that initializes it.
    """

    signatures: Mapping[str, meta_graph_pb2.SignatureDef]
    signature_defs: Mapping[str, meta_graph_pb2.SignatureDef]

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> list[Array]:
        """Computes tensors from tensors. Blocks; may be called by several threads at once.

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
        """Frees what the model holds. No call is running, and none follows."""
