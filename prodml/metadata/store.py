"""The ML Metadata store: connection, types, locking, and translation of its errors.

A write takes a file lock where the database is SQLite: processes that collide there get an
AbortedError at once instead of waiting.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from filelock import FileLock
from ml_metadata import errors as mlmd_errors
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from prodml.artifacts import Artifact
from prodml.errors import MetadataError, storage_error

_PROPERTY_TYPES = {int: mlmd.INT, float: mlmd.DOUBLE, str: mlmd.STRING}


class Store:
    """An open ML Metadata store.

    Args:
        path: SQLite file; made, with its directory, where it does not exist.

    Raises:
        MetadataError: the database cannot be opened.
        StorageError: the filesystem refuses it.
    """

    def __init__(self, path: str) -> None:
        try:
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        except OSError as error:
            raise storage_error(error) or error from error
        self.path = path
        self._lock = FileLock(f"{path}.lock")
        self._type_ids: dict[tuple[str, str], int] = {}
        config = mlmd.ConnectionConfig()
        config.sqlite.filename_uri = path
        config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        with self._lock, translated(f"cannot open the metadata store {path}"):
            self.mlmd = metadata_store.MetadataStore(config)

    @contextlib.contextmanager
    def writing(self, what: str) -> Iterator[Any]:
        """The raw store, for one write, while no other process writes.

        Args:
            what: what is written, for the message of an error.
        """
        with self._lock, translated(what):
            yield self.mlmd

    def context_type(self, name: str) -> int:
        """Id of a context type, registered where it is new."""
        return self._type("context", name, mlmd.ContextType(name=name))

    def execution_type(self, name: str) -> int:
        """Id of an execution type, registered where it is new."""
        return self._type("execution", name, mlmd.ExecutionType(name=name))

    def artifact_type(self, artifact: type[Artifact]) -> int:
        """Id of an artifact type, registered with its properties where it is new."""
        properties = {key: _PROPERTY_TYPES[t] for key, t in artifact.property_types.items()}
        declared = mlmd.ArtifactType(name=artifact.type_name, properties=properties)
        return self._type("artifact", artifact.type_name, declared)

    def _type(self, kind: str, name: str, declared: Any) -> int:
        known = self._type_ids.get((kind, name))
        if known is None:
            put = getattr(self.mlmd, f"put_{kind}_type")
            with self.writing(f"cannot register the {kind} type {name!r}"):
                known = int(put(declared, can_add_fields=True, can_omit_fields=True))
            self._type_ids[kind, name] = known
        return known


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Turns ML Metadata's errors into MetadataError, kept chained.

    Args:
        what: what was tried, the start of the message.
    """
    try:
        yield
    except mlmd_errors.StatusError as error:
        raise MetadataError(f"{what}: {type(error).__name__}: {error}") from error
