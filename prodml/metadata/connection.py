"""Where ML Metadata is: a file, a database server, or ML Metadata's own gRPC service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from prodml.secrets import Secret

_STRICT = {"extra": "forbid"}
"""For pydantic, where a connection is a part of a configuration."""


@dataclass(frozen=True)
class SqliteConnection:
    """A file on this machine; made, with its directory, where it does not exist."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class MySqlConnection:
    """A database of a MySQL or MariaDB server.

    ML Metadata's client logs in by `mysql_native_password` alone.

    Attributes:
        ca_file: certificates to trust; with it, the connection is secured by TLS.
    """

    __pydantic_config__: ClassVar[Mapping[str, str]] = _STRICT

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
    """A database of a PostgreSQL server; it exists, ML Metadata makes its tables.

    Attributes:
        ssl_mode: libpq's sslmode, such as `require` or `verify-full`.
        ca_file: certificates to trust.
    """

    __pydantic_config__: ClassVar[Mapping[str, str]] = _STRICT

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
    """ML Metadata's gRPC service: `prodml metadata serve`, or any metadata_store_server.

    Attributes:
        ca_file: certificates to trust; with it, the connection is secured by TLS.
    """

    __pydantic_config__: ClassVar[Mapping[str, str]] = _STRICT

    host: str
    port: int = 8080
    ca_file: str | None = None

    def __str__(self) -> str:
        return f"grpc://{self.host}:{self.port}"


Connection = SqliteConnection | MySqlConnection | PostgreSqlConnection | GrpcConnection
