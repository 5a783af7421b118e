"""The ML Metadata store: connection, types, locking, retries, and translation of its errors.

A write takes a file lock where the database is SQLite: processes that collide there get an
AbortedError at once instead of waiting. A reader can collide, too, with a writer that commits.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import tenacity
from filelock import FileLock
from ml_metadata import errors as mlmd_errors
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from prodml.artifacts import Artifact
from prodml.errors import MetadataError, MetadataUnavailableError, refused_by_filesystem
from prodml.metadata.connection import Connection, SqliteConnection
from prodml.metadata.connection_messages import connection_message
from prodml.metadata.failures import (
    NotConnectedError,
    is_lost_connection,
    is_transient,
    translated,
    why_not_connected,
)

_PROPERTY_TYPES = {int: mlmd.INT, float: mlmd.DOUBLE, str: mlmd.STRING}
RETRY_SECONDS = 60.0
_FIRST_WAIT_SECONDS = 0.002
_LONGEST_WAIT_SECONDS = 2.0
_TELL_AFTER_SECONDS = 2.0

T = TypeVar("T")

# It warns of every refusal, which is raised or met by another attempt anyway.
logging.getLogger("absl").addFilter(lambda it: not it.getMessage().startswith("mlmd client"))


class Store:
    """An open ML Metadata store.

    Args:
        where: an SQLite file, made, with its directory, where it does not exist; or a server.
        retry_seconds: how long a call is repeated while the database does not answer.
        warn: told once, when a call has to wait for longer than two seconds.

    Raises:
        MetadataError: the database cannot be opened.
        StorageError: the filesystem refuses it.
    """

    def __init__(
        self,
        where: str | Connection,
        retry_seconds: float = RETRY_SECONDS,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.connection = SqliteConnection(where) if isinstance(where, str) else where
        self._retry_seconds = retry_seconds
        self._warn = warn
        self._type_ids: dict[tuple[str, str], int] = {}
        self._lock: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if isinstance(self.connection, SqliteConnection):
            path = self.connection.path
            try:
                os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            except OSError as error:
                raise refused_by_filesystem(error, path) from error
            self._lock = FileLock(f"{path}.lock")
        self._mlmd: Any = None
        self._open()

    def read(self, what: str, ask: Callable[[Any], T]) -> T:
        """What `ask` gives for the raw store; asked again where another process was in the way.

        Args:
            what: what is read, the start of an error's message: "cannot read run 7".

        Raises:
            MetadataError: the store refuses, or does not answer within the retry budget.
        """
        return self._retried(what, ask)

    def write(self, what: str, change: Callable[[Any], T]) -> T:
        """The same for a write, while no other process writes.

        Args:
            change: may be called again after its first call was carried out and its answer lost.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._lock)
            except OSError as error:
                refused = refused_by_filesystem(error)
                raise MetadataError(f"{what} in {self.connection}: {refused}") from error
            return self._retried(what, change)

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

    def _open(self) -> None:
        what = f"cannot open the metadata store {self.connection}"
        try:
            with self._lock:
                self._retried(what, lambda store: None)
        except OSError as error:
            if not os.path.isfile(str(self.connection)):
                raise refused_by_filesystem(error, str(self.connection)) from error
            # Another user's, or on a read-only disk. It can be read without the lock of writers.
            self._retried(what, lambda store: None)

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

    def _retried(self, what: str, call: Callable[[Any], T]) -> T:
        """Calls until there is an answer; errors become MetadataError, and stay chained."""
        try:
            # Most calls need no second one, and tenacity costs more than a look-up.
            return self._called(call)
        except (mlmd_errors.StatusError, NotConnectedError) as error:
            if not is_transient(error):
                raise translated(what, self.connection, error) from error
            is_open = is_lost_connection(error)
        started, has_told = time.monotonic(), False

        def tell(state: tenacity.RetryCallState) -> None:
            nonlocal has_told
            waited = time.monotonic() - started
            if waited > _TELL_AFTER_SECONDS and not has_told and self._warn is not None:
                has_told = True
                left = self._retry_seconds - waited
                self._warn(f"{self.connection} does not answer; trying for another {left:.0f} s")

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_transient),
            wait=tenacity.wait_random_exponential(_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS),
            stop=tenacity.stop_after_delay(self._retry_seconds),
            before_sleep=tell,
            reraise=True,
        )

        def attempt() -> T:
            nonlocal is_open
            try:
                self._connect()
            except MetadataError as error:
                if is_open:
                    raise _open_question(what, error) from error
                raise
            try:
                return self._called(call)
            except mlmd_errors.StatusError as error:
                is_open = is_open or is_lost_connection(error)
                raise

        try:
            answer: T = retrying(attempt)
            return answer
        except (mlmd_errors.StatusError, NotConnectedError) as error:
            if not is_transient(error):
                refused = translated(what, self.connection, error)
                raise (_open_question(what, refused) if is_open else refused) from error
            raise MetadataUnavailableError(
                f"{what}: {self.connection} did not answer within {self._retry_seconds:.0f} s: "
                f"{error}"
            ) from error

    def _connect(self) -> None:
        """Connects if there is no connection, or the last one was lost."""
        if self._mlmd is not None:
            return
        try:
            self._mlmd = metadata_store.MetadataStore(connection_message(self.connection))
        except RuntimeError as error:
            raise why_not_connected(self.connection, error) from error
        # ML Metadata's own retries sleep for seconds; ours begin with milliseconds.
        self._mlmd._max_num_retries = 1

    def _called(self, call: Callable[[Any], T]) -> T:
        self._connect()
        try:
            return call(self._mlmd)
        except mlmd_errors.StatusError as error:
            if is_lost_connection(error):
                self._mlmd = None
            raise


def _open_question(what: str, refused: MetadataError) -> MetadataUnavailableError:
    """For a call that was refused when it was repeated, after its first answer was lost."""
    return MetadataUnavailableError(
        f"{what}: the connection was lost, so that it may be recorded or not; then: {refused}"
    )
