"""Connections to ML Metadata: a file, a database server, or ML Metadata's gRPC service."""

from __future__ import annotations

from dataclasses import dataclass

from prodml.secrets import Secret

RETRY_SECONDS = 60.0
"""How long calls of an unreachable store are retried, by default."""


@dataclass(frozen=True)
class SqliteConnection:
    """A file on this machine, created with its directory if it does not exist."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class MySqlConnection:
    """A database of a MySQL or MariaDB server.

    ML Metadata's client supports only `mysql_native_password` for the login.

    Attributes:
        ca_file: path of trusted certificates; if set, the connection uses TLS.
    """

    host: str
    port: int = 3306
    database: str = "prodml"
    user: str = "prodml"
    password: Secret | None = None
    ca_file: str | None = None

    def __str__(self) -> str:
        return f"mysql://{self.user}@{self.host}:{self.port}/{self.database}"


@dataclass(frozen=True)
class PostgreSqlConnection:
    """An existing database of a PostgreSQL server; ML Metadata creates its tables.

    Attributes:
        ssl_mode: libpq's sslmode, such as `require` or `verify-full`.
        ca_file: path of trusted certificates.
    """

    host: str
    port: int = 5432
    database: str = "prodml"
    user: str = "prodml"
    password: Secret | None = None
    ssl_mode: str | None = None
    ca_file: str | None = None

    def __str__(self) -> str:
        return f"postgresql://{self.user}@{self.host}:{self.port}/{self.database}"


@dataclass(frozen=True)
class GrpcConnection:
    """An ML Metadata gRPC service: `prodml metadata serve`, or any metadata_store_server.

    Attributes:
        ca_file: path of trusted certificates; if set, the connection uses TLS.
    """

    host: str
    port: int = 8080
    ca_file: str | None = None

    def __str__(self) -> str:
        return f"grpc://{self.host}:{self.port}"


Connection = SqliteConnection | MySqlConnection | PostgreSqlConnection | GrpcConnection
