"""The ML Metadata store: connection, types, locking, retries, and translation of its errors.

A write takes a file lock where the database is SQLite: processes that collide there get an
AbortedError at once instead of waiting. A reader can collide, too, with a writer that commits.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import tenacity
from filelock import FileLock
from ml_metadata import errors as mlmd_errors
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from prodml.artifacts import Artifact
from prodml.errors import MetadataError, MetadataUnavailableError, storage_error

_PROPERTY_TYPES = {int: mlmd.INT, float: mlmd.DOUBLE, str: mlmd.STRING}
_TRANSIENT = (mlmd_errors.AbortedError, mlmd_errors.UnavailableError)
_RETRY_SECONDS = 60.0
_FIRST_WAIT_SECONDS = 0.002
_LONGEST_WAIT_SECONDS = 2.0

T = TypeVar("T")


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
        with self._lock:
            self._mlmd = _retried(
                f"cannot open the metadata store {path}",
                lambda: metadata_store.MetadataStore(config),
            )

    def read(self, what: str, ask: Callable[[Any], T]) -> T:
        """What `ask` gives for the raw store; asked again where another process was in the way.

        Args:
            what: what is read, the start of an error's message: "cannot read run 7".

        Raises:
            MetadataError: the store refuses, or does not answer within the retry budget.
        """
        return _retried(what, lambda: ask(self._mlmd))

    def write(self, what: str, change: Callable[[Any], T]) -> T:
        """The same for a write, while no other process writes.

        Args:
            change: may be called again after its first call was carried out and its answer lost.
        """
        with self._lock:
            return _retried(what, lambda: change(self._mlmd))

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
            known = self.write(
                f"cannot register the {kind} type {name!r}",
                lambda store: int(
                    getattr(store, f"put_{kind}_type")(
                        declared, can_add_fields=True, can_omit_fields=True
                    )
                ),
            )
            self._type_ids[kind, name] = known
        return known


def _retried(what: str, call: Callable[[], T]) -> T:
    """Calls until there is an answer; ML Metadata's errors become MetadataError, kept chained."""
    try:
        # Most calls need no second one, and tenacity costs more than a look-up.
        return call()
    except _TRANSIENT:
        pass
    except mlmd_errors.StatusError as error:
        raise _translated(what, error) from error
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_TRANSIENT),
        wait=tenacity.wait_random_exponential(_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS),
        stop=tenacity.stop_after_delay(_RETRY_SECONDS),
        reraise=True,
    )
    try:
        return retrying(call)
    except _TRANSIENT as error:
        raise MetadataUnavailableError(
            f"{what}: no answer within {_RETRY_SECONDS:.0f} s: {error}"
        ) from error
    except mlmd_errors.StatusError as error:
        raise _translated(what, error) from error


def _translated(what: str, error: Exception) -> MetadataError:
    return MetadataError(f"{what}: {type(error).__name__}: {error}")
