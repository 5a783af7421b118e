"""The parts of a run configuration, as pydantic models that refuse unknown keys."""

from __future__ import annotations

from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ByteSize, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from prodml.metadata.connection import GrpcConnection, MySqlConnection, PostgreSqlConnection
from prodml.secrets import REFUSED_TYPE, Secret


class Metadata(BaseModel):
    """Where ML Metadata is kept: in one of four.

    Attributes:
        sqlite: database file; by default `metadata.db` under `home`.
        mysql: a database of a MySQL or MariaDB server.
        postgresql: a database of a PostgreSQL server.
        grpc: ML Metadata's own service, such as `prodml metadata serve`.
        retry_seconds: how long it is tried again while it does not answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sqlite: str | None = None
    mysql: MySqlConnection | None = None
    postgresql: PostgreSqlConnection | None = None
    grpc: GrpcConnection | None = None
    retry_seconds: float = Field(default=60.0, gt=0)

    @model_validator(mode="after")
    def _check_number(self) -> Self:
        given = [self.sqlite, self.mysql, self.postgresql, self.grpc]
        if sum(each is not None for each in given) > 1:
            raise PydanticCustomError("places", "takes one of sqlite, mysql, postgresql and grpc")
        return self


class Runner(BaseModel):
    """Where data-parallel executors run.

    Attributes:
        name: a Beam runner, such as FnApiRunner or FlinkRunner.
        options: Beam pipeline options by name, without dashes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "FnApiRunner"
    options: dict[str, Any] = Field(default_factory=dict)


class Retry(BaseModel):
    """When a node is tried again: after lost connections, I/O errors and lost workers.

    Attributes:
        max_attempts: in all; 1 for no second attempt.
        wait_seconds: before the second attempt; doubled, with jitter, before each later one.
        longest_wait_seconds: no wait is longer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_attempts: int = Field(default=3, ge=1)
    wait_seconds: float = Field(default=1.0, ge=0)
    longest_wait_seconds: float = Field(default=60.0, ge=0)


class Node(BaseModel):
    """Limits of one node; it then runs in a process of its own, and is stopped beyond them.

    Attributes:
        timeout_seconds: wall time of an attempt.
        memory: resident memory of the process and its children, such as `4GiB`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout_seconds: float | None = Field(default=None, gt=0)
    memory: ByteSize | None = None


class OpenLineage(BaseModel):
    """Where OpenLineage events go.

    Attributes:
        transport: `file` or `http`.
        path: file of JSON lines; by default `openlineage.jsonl` under `home`.
        url: server, such as `http://localhost:5000`.
        endpoint: path of the server's API.
        token: sent as a bearer token.
        namespace: of the jobs.
        timeout_seconds: longest wait for an answer, and for the server at the end of a run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    transport: Literal["file", "http"]
    path: str | None = None
    url: str | None = None
    endpoint: str = "api/v1/lineage"
    token: Secret | None = None
    namespace: str = Field(default="prodml", min_length=1)
    timeout_seconds: float = Field(default=5.0, gt=0, le=60)

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        if self.transport == "file" and (self.url or self.token):
            raise PydanticCustomError(
                "place", "transport file takes a path; url and token are for transport http"
            )
        if self.transport == "http" and (self.path or not self.url):
            raise PydanticCustomError(
                "place", "transport http takes a url, such as http://localhost:5000, and no path"
            )
        return self

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is not None:
            if "@" in url:
                # Its type keeps the input, which holds the password, out of the message.
                raise PydanticCustomError(REFUSED_TYPE, "no name or password in it; use token")
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise PydanticCustomError("url", "write http://host:port or https://host:port")
        return url


class Events(BaseModel):
    """Who else is told what happens in a run.

    Attributes:
        openlineage: none by default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    openlineage: OpenLineage | None = None
