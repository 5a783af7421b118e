"""The identity of a store: an id recorded in the store, which moves with the database."""

from __future__ import annotations

import contextlib
import uuid
from typing import Any

from ml_metadata import errors as mlmd_errors
from ml_metadata.proto import metadata_store_pb2 as mlmd

from prodml.metadata.messages import get_values, set_values
from prodml.metadata.store import Store

STORE = "prodml.Store"
"""Context type; its one context is named `identity`."""

_NAME = "identity"
_ID = "id"


def store_id(store: Store) -> str:
    """The id of a store, 32 hexadecimal digits; generated on the first call."""
    known = known_store_id(store)
    if known is not None:
        return known
    context = mlmd.Context(type_id=store.context_type(STORE), name=_NAME)
    set_values(context.custom_properties, {_ID: uuid.uuid4().hex})

    def create(raw: Any) -> Any:
        # Another process may create it at the same time; the recorded id is the valid one.
        with contextlib.suppress(mlmd_errors.AlreadyExistsError):
            raw.put_contexts([context])
        return raw.get_context_by_type_and_name(STORE, _NAME)

    created = store.write("cannot record the id of the metadata store", create)
    return str(get_values(created.custom_properties)[_ID])


def known_store_id(store: Store) -> str | None:
    """The id of a store, or None if it has no id yet; writes nothing."""
    found = store.read(
        "cannot read the id of the metadata store",
        lambda raw: raw.get_context_by_type_and_name(STORE, _NAME),
    )
    return None if found is None else str(get_values(found.custom_properties)[_ID])
