"""Classifies ML Metadata's errors: transient, lost connection, or permanent.

The client for MySQL and PostgreSQL reports little: a lost connection is an InternalError with the
database's text, or without any, and a failed connection attempt is a plain RuntimeError.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys

from ml_metadata import errors as mlmd_errors

from prodml.errors import MetadataError
from prodml.metadata.connection import (
    Connection,
    GrpcConnection,
    MySqlConnection,
    PostgreSqlConnection,
    SqliteConnection,
)

_PROBE_SECONDS = 5.0
_LOST = re.compile(
    r"PostgreSQL metadata source error:\s*$"
    r"|server closed the connection|terminating connection|no connection to the server"
    r"|could not receive data|SSL (connection|SYSCALL)"
    r"|gone away|[Ll]ost connection|Server shutdown in progress|Connection was killed"
    r"|errno: (2002|2003|2006|2013|2055|1053|1927)\b",
    re.MULTILINE,
)
_NOT_YET = re.compile(
    r"starting up|shutting down|in recovery|too many (clients|connections)|Too many connections"
    r"|remaining connection slots|not yet accepting|connection timed out|ECONNREFUSED"
)
_BEING_CREATED = re.compile(
    r"concurrent connection to the empty database|pg_type_typname_nsp_index"
    r"|already exists|doesn't exist|does not exist"
)
"""Errors while another process creates the tables."""
_ROLLED_BACK = re.compile(r"deadlock detected|type_external_id_key|Conflict of external_id")
"""PostgreSQL ended a transaction in favour of one that it conflicted with: two that waited for each
other, or two that registered the same type."""
_REASON = re.compile(r"(?:PostgreSQL error: |failed: errno: )(.*)")


class NotConnectedError(Exception):
    """The server is unreachable or not ready; a later attempt may succeed."""


def is_transient(error: BaseException) -> bool:
    """Whether a retry of the same call may succeed."""
    if isinstance(error, NotConnectedError | mlmd_errors.AbortedError):
        return True
    conflicts = mlmd_errors.InternalError | mlmd_errors.AlreadyExistsError
    if isinstance(error, conflicts) and _ROLLED_BACK.search(str(error)):
        return True
    return is_lost_connection(error) or "database is locked" in str(error)


def is_lost_connection(error: BaseException) -> bool:
    """Whether a new connection is needed before the next call."""
    if isinstance(error, mlmd_errors.UnavailableError):
        return True
    return isinstance(error, mlmd_errors.InternalError) and bool(_LOST.search(str(error)))


def translated(what: str, connection: Connection, error: Exception) -> MetadataError:
    """Translates one of ML Metadata's errors into a MetadataError."""
    return MetadataError(f"{what} in {connection}: {type(error).__name__}: {error}")


def connection_error(connection: Connection, error: RuntimeError) -> Exception:
    """Finds the reason why a connection failed.

    ML Metadata writes the database's reason only to its C++ log. So another process tries to
    connect, and its log is read.

    Returns:
        NotConnectedError if a later attempt may succeed, and otherwise a MetadataError.
    """
    if _BEING_CREATED.search(str(error)):
        return NotConnectedError(str(error))
    if isinstance(connection, SqliteConnection | GrpcConnection):
        return MetadataError(f"cannot open {connection}: {error}")
    try:
        with socket.create_connection((connection.host, connection.port), _PROBE_SECONDS):
            pass
    except socket.gaierror as unknown:
        return MetadataError(f"cannot open {connection}: {unknown.strerror}; check the host")
    except OSError as unreachable:
        return NotConnectedError(str(unreachable))
    reason = _reason(connection)
    if reason is None:
        return NotConnectedError("the server was not ready, but is ready now")
    if _NOT_YET.search(reason):
        return NotConnectedError(reason)
    return MetadataError(
        f"cannot open {connection}: {reason}; check user, password and database, and that the "
        f"user has permission to create tables"
    )


def _reason(connection: MySqlConnection | PostgreSqlConnection) -> str | None:
    """The server's reason for rejecting the login; None if the login succeeds now."""
    from prodml.metadata.connection_messages import connection_message

    attempt = subprocess.run(
        [sys.executable, "-c", _CONNECT],
        input=connection_message(connection).SerializeToString(),
        env={**os.environ, "GLOG_minloglevel": "0"},
        capture_output=True,
        timeout=60,
    )
    if attempt.returncode == 0:
        return None
    log = attempt.stderr.decode(errors="replace")
    found = [reason.strip() for reason in _REASON.findall(log)]
    known = (reason for reason in found if re.search("[a-z]{4} ", reason))
    return next(known, "the server rejects the login")


_CONNECT = """
import sys
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2
config = metadata_store_pb2.ConnectionConfig.FromString(sys.stdin.buffer.read())
metadata_store.MetadataStore(config)
"""
