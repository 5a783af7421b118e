"""The sections of a run configuration, as pydantic models that reject unknown keys."""

from __future__ import annotations

from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ByteSize, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from prodml.metadata.connection import GrpcConnection, MySqlConnection, PostgreSqlConnection
from prodml.secrets import REFUSED_TYPE, Secret


class Metadata(BaseModel):
    """Connection to ML Metadata: at most one of four kinds.

    Attributes:
        sqlite: path of the database file; by default `metadata.db` under `home`.
        mysql: a database of a MySQL or MariaDB server.
        postgresql: a database of a PostgreSQL server.
        grpc: ML Metadata's own service, such as `prodml metadata serve`.
        retry_seconds: how long to retry if the database is unreachable.
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
            raise PydanticCustomError("places", "set only one of sqlite, mysql, postgresql, grpc")
        return self


class Runner(BaseModel):
    """Beam runner of data-parallel executors.

    Attributes:
        name: a Beam runner, such as FnApiRunner or FlinkRunner.
        options: Beam pipeline options by name, without dashes.
        check_portability: FnApiRunner without options pickles every function and encodes every
            element, so that what could not travel to a remote worker fails here; slower.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "FnApiRunner"
    options: dict[str, Any] = Field(default_factory=dict)
    check_portability: bool = False


class Retry(BaseModel):
    """Retries of a node after lost connections, I/O errors and lost workers.

    Attributes:
        max_attempts: maximum number of attempts; 1 disables retries.
        wait_seconds: wait before the second attempt; doubled, with jitter, before each later one.
        longest_wait_seconds: maximum wait.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_attempts: int = Field(default=3, ge=1)
    wait_seconds: float = Field(default=1.0, ge=0)
    longest_wait_seconds: float = Field(default=60.0, ge=0)


class Node(BaseModel):
    """Limits of a node; with a limit, it runs in a process of its own and is killed above it.

    Attributes:
        timeout_seconds: maximum wall time of an attempt.
        memory: maximum resident memory of the process and its children, such as `4GiB`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout_seconds: float | None = Field(default=None, gt=0)
    memory: ByteSize | None = None


class OpenLineage(BaseModel):
    """Destination of OpenLineage events.

    Attributes:
        transport: `file` or `http`.
        path: file of JSON lines; by default `openlineage.jsonl` under `home`.
        url: URL of the server, such as `http://localhost:5000`.
        endpoint: path of the server's API.
        token: bearer token; None to send none.
        namespace: namespace of the jobs.
        timeout_seconds: maximum wait for a response, and for the remaining events at the end of a
            run.
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
                "place", "transport file uses path; url and token are for transport http"
            )
        if self.transport == "http" and (self.path or not self.url):
            raise PydanticCustomError(
                "place", "transport http needs a url, such as http://localhost:5000, and no path"
            )
        return self

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is not None:
            if "@" in url:
                # This error type keeps the input, with its password, out of the message.
                raise PydanticCustomError(REFUSED_TYPE, "no name or password allowed; use token")
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise PydanticCustomError("url", "expected http://host:port or https://host:port")
        return url


class Events(BaseModel):
    """Additional receivers of the events of a run.

    Attributes:
        openlineage: destination of OpenLineage events; None for no destination.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    openlineage: OpenLineage | None = None
