"""The sections `metadata` and `events` of a run configuration."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from prodml.metadata.connection import (
    RETRY_SECONDS,
    GrpcConnection,
    MySqlConnection,
    PostgreSqlConnection,
)
from prodml.orchestration.settings import OpenLineage


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
    retry_seconds: float = Field(default=RETRY_SECONDS, gt=0)

    @model_validator(mode="after")
    def _check_number(self) -> Self:
        given = [self.sqlite, self.mysql, self.postgresql, self.grpc]
        if sum(each is not None for each in given) > 1:
            raise PydanticCustomError("places", "set only one of sqlite, mysql, postgresql, grpc")
        return self


class Events(BaseModel):
    """Additional receivers of the events of a run.

    Attributes:
        openlineage: destination of OpenLineage events; None for no destination.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    openlineage: OpenLineage | None = None
