"""The ML Metadata store: connection, types, locking, retries, and translation of errors.

If the database is SQLite, a write acquires a file lock, because a conflict between processes raises
AbortedError at once instead of waiting. A reader can conflict, too, with a writer that commits.
"""

from __future__ import annotations

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
from prodml.errors import MetadataError, MetadataUnavailableError, file_operation_error
from prodml.metadata.connection import RETRY_SECONDS, Connection, SqliteConnection
from prodml.metadata.connection_messages import connection_message
from prodml.metadata.failures import (
    NotConnectedError,
    connection_error,
    is_lost_connection,
    is_transient,
    translated,
)

_PROPERTY_TYPES = {int: mlmd.INT, float: mlmd.DOUBLE, str: mlmd.STRING}
_FIRST_WAIT_SECONDS = 0.002
_LONGEST_WAIT_SECONDS = 2.0
_WARN_AFTER_SECONDS = 2.0

T = TypeVar("T")

# The client logs a warning for each failed call, although the call is retried or raises an error.
logging.getLogger("absl").addFilter(lambda it: not it.getMessage().startswith("mlmd client"))


class Store:
    """An open ML Metadata store.

    Args:
        where: path of an SQLite file, created with its directory if it does not exist, or a
            connection.
        retry_seconds: maximum time to retry a call while the database does not respond.
        warn: called once with a message if a call waits longer than two seconds.

    Raises:
        MetadataError: the database cannot be opened.
        StorageError: the file or its directory cannot be created.
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
        self._lock: FileLock | None = None
        if isinstance(self.connection, SqliteConnection):
            path = self.connection.path
            try:
                os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            except OSError as error:
                raise file_operation_error(error, path) from error
            self._lock = FileLock(f"{path}.lock")
        self._mlmd: Any = None
        self._open()

    def read(self, what: str, query: Callable[[Any], T]) -> T:
        """Calls `query` with ML Metadata's store, retries transient errors, and returns its result.

        Args:
            what: start of the message of an error, such as "cannot read run 7".
            query: the call.

        Raises:
            MetadataError: the call failed, or got no response within the retry budget.
        """
        return self._retried(what, query)

    def write(self, what: str, change: Callable[[Any], T]) -> T:
        """Calls `change` with ML Metadata's store, while no other process writes to SQLite.

        Args:
            what: start of the message of an error, such as "cannot record run 7".
            change: the call; may be retried after an earlier call had an effect but its response
                was lost.

        Raises:
            MetadataError: the call failed, or got no response within the retry budget.
        """
        try:
            return self._locked(lambda: self._retried(what, change))
        except OSError as error:
            refused = file_operation_error(error)
            raise MetadataError(f"{what} in {self.connection}: {refused}") from error

    def context_type(self, name: str) -> int:
        """The id of a context type, which is registered if it is new."""
        return self._type("context", name, mlmd.ContextType(name=name))

    def execution_type(self, name: str) -> int:
        """The id of an execution type, which is registered if it is new."""
        return self._type("execution", name, mlmd.ExecutionType(name=name))

    def artifact_type(self, artifact: type[Artifact]) -> int:
        """The id of an artifact type, which is registered with its properties if it is new."""
        properties = {key: _PROPERTY_TYPES[t] for key, t in artifact.property_types.items()}
        declared = mlmd.ArtifactType(name=artifact.type_name, properties=properties)
        return self._type("artifact", artifact.type_name, declared)

    def _open(self) -> None:
        what = f"cannot open the metadata store {self.connection}"
        try:
            self._locked(lambda: self._retried(what, lambda store: None))
        except OSError as error:
            if not os.path.isfile(str(self.connection)):
                raise file_operation_error(error, str(self.connection)) from error
            # The file belongs to another user or is on a read-only disk, so the lock cannot be
            # acquired; reading does not need it.
            self._retried(what, lambda store: None)

    def _locked(self, call: Callable[[], T]) -> T:
        """Calls `call` while no other process writes to SQLite.

        Raises:
            OSError: the lock cannot be acquired.
        """
        if self._lock is None:
            return call()
        # Not a `with` statement: an interrupt that comes just after the acquisition would leave the
        # lock acquired, and no other store of this thread could write. The same is true of an
        # interrupt of the release.
        try:
            self._lock.acquire()
            return call()
        finally:
            try:
                self._lock.release()
            except KeyboardInterrupt:
                self._lock.release()
                raise

    def _type(self, kind: str, name: str, declared: Any) -> int:
        known = self._type_ids.get((kind, name))
        if known is None:
            # PostgreSQL accepts two types with one name from processes that register it at the same
            # time. Names are unique only within a type, so both could then hold the same lease. An
            # external id is unique.
            declared.external_id = f"prodml:{kind}:{name}"
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
        """Calls until there is a response; translates errors into MetadataError."""
        try:
            # Most calls need no retry, and tenacity takes longer than a query.
            return self._called(call)
        except (mlmd_errors.StatusError, NotConnectedError) as error:
            if not is_transient(error):
                raise translated(what, self.connection, error) from error
            is_outcome_unknown = is_lost_connection(error)
        started, has_warned = time.monotonic(), False

        def warn(state: tenacity.RetryCallState) -> None:
            nonlocal has_warned
            waited = time.monotonic() - started
            if waited > _WARN_AFTER_SECONDS and not has_warned and self._warn is not None:
                has_warned = True
                left = self._retry_seconds - waited
                self._warn(f"{self.connection} does not respond; retrying for {left:.0f} s")

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_transient),
            wait=tenacity.wait_random_exponential(_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS),
            stop=tenacity.stop_after_delay(self._retry_seconds),
            before_sleep=warn,
            reraise=True,
        )

        def attempt() -> T:
            nonlocal is_outcome_unknown
            try:
                self._connect()
            except MetadataError as error:
                if is_outcome_unknown:
                    raise _unknown_outcome(what, error) from error
                raise
            try:
                return self._called(call)
            except mlmd_errors.StatusError as error:
                is_outcome_unknown = is_outcome_unknown or is_lost_connection(error)
                raise

        try:
            result: T = retrying(attempt)
            return result
        except (mlmd_errors.StatusError, NotConnectedError) as error:
            if not is_transient(error):
                refused = translated(what, self.connection, error)
                raise (
                    _unknown_outcome(what, refused) if is_outcome_unknown else refused
                ) from error
            raise MetadataUnavailableError(
                f"{what}: {self.connection} did not respond within {self._retry_seconds:.0f} s: "
                f"{error}"
            ) from error

    def _connect(self) -> None:
        """Connects if there is no connection, or the last one was lost."""
        if self._mlmd is not None:
            return
        try:
            self._mlmd = metadata_store.MetadataStore(connection_message(self.connection))
        except RuntimeError as error:
            raise connection_error(self.connection, error) from error
        # ML Metadata's retries sleep for seconds; the retries here start with milliseconds.
        self._mlmd._max_num_retries = 1

    def _called(self, call: Callable[[Any], T]) -> T:
        self._connect()
        try:
            return call(self._mlmd)
        except mlmd_errors.StatusError as error:
            if is_lost_connection(error):
                self._mlmd = None
            raise


def _unknown_outcome(what: str, refused: MetadataError) -> MetadataUnavailableError:
    """The error for a retry that failed after the response of an earlier attempt was lost."""
    return MetadataUnavailableError(
        f"{what}: the connection was lost, and the write may or may not be recorded; the retry "
        f"failed: {refused}"
    )
