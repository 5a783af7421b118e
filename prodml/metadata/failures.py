"""What ML Metadata's errors mean: worth another call, a lost connection, or a refusal.

Its client for MySQL and PostgreSQL tells little: a connection that is lost is an InternalError
with the database's own text, or none, and one that cannot be made is a bare RuntimeError.
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
_BEING_MADE = re.compile(
    r"concurrent connection to the empty database|pg_type_typname_nsp_index"
    r"|already exists|doesn't exist|does not exist"
)
"""The tables are, by another process, at this moment."""
_REASON = re.compile(r"(?:PostgreSQL error: |failed: errno: )(.*)")


class NotConnectedError(Exception):
    """A server does not take connections now; it may in a while."""


def is_transient(error: BaseException) -> bool:
    """Whether the same call may well succeed a little later."""
    if isinstance(error, NotConnectedError | mlmd_errors.AbortedError):
        return True
    return is_lost_connection(error) or "database is locked" in str(error)


def is_lost_connection(error: BaseException) -> bool:
    """Whether another connection is needed before another call."""
    if isinstance(error, mlmd_errors.UnavailableError):
        return True
    return isinstance(error, mlmd_errors.InternalError) and bool(_LOST.search(str(error)))


def translated(what: str, connection: Connection, error: Exception) -> MetadataError:
    """The error that a caller gets for one of ML Metadata's."""
    return MetadataError(f"{what} in {connection}: {type(error).__name__}: {error}")


def why_not_connected(connection: Connection, error: RuntimeError) -> Exception:
    """Why a connection could not be made.

    ML Metadata writes the database's reason to its C++ log only. So another process tries once
    more, and what that writes is read.

    Returns:
        NotConnectedError where it may be made in a while, else a MetadataError.
    """
    if _BEING_MADE.search(str(error)):
        return NotConnectedError(str(error))
    if isinstance(connection, SqliteConnection | GrpcConnection):
        return MetadataError(f"cannot open {connection}: {error}")
    try:
        with socket.create_connection((connection.host, connection.port), _PROBE_SECONDS):
            pass
    except socket.gaierror as unknown:
        return MetadataError(f"cannot open {connection}: {unknown.strerror}; check the host")
    except OSError as refused:
        return NotConnectedError(str(refused))
    reason = _reason(connection)
    if reason is None:
        return NotConnectedError("the server was not ready, and is now")
    if _NOT_YET.search(reason):
        return NotConnectedError(reason)
    return MetadataError(
        f"cannot open {connection}: {reason}; check user, password and database, and that the "
        f"user may make tables there"
    )


def _reason(connection: MySqlConnection | PostgreSqlConnection) -> str | None:
    """The server's words on a login that it refuses; None if it accepts it by now."""
    from prodml.metadata.connection_messages import connection_message

    tried = subprocess.run(
        [sys.executable, "-c", _TRY],
        input=connection_message(connection).SerializeToString(),
        env={**os.environ, "GLOG_minloglevel": "0"},
        capture_output=True,
        timeout=60,
    )
    if tried.returncode == 0:
        return None
    said = tried.stderr.decode(errors="replace")
    found = [reason.strip() for reason in _REASON.findall(said)]
    known = (reason for reason in found if re.search("[a-z]{4} ", reason))
    return next(known, "the server refuses the login")


_TRY = """
import sys
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2
config = metadata_store_pb2.ConnectionConfig.FromString(sys.stdin.buffer.read())
metadata_store.MetadataStore(config)
"""
