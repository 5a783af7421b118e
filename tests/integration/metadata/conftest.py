"""Metadata stores for the tests of this directory: servers, files and the gRPC service."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.database_servers import DatabaseServer, MariaDb, PostgreSql

from prodml.metadata.connection import Connection, GrpcConnection, SqliteConnection
from prodml.metadata.service import serving
from prodml.metadata.store import Store


@pytest.fixture(scope="session")
def postgresql() -> Iterator[DatabaseServer]:
    yield from _running(PostgreSql)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[DatabaseServer]:
    yield from _running(MariaDb)


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    server: DatabaseServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture(params=["sqlite", "postgresql", "mariadb", "service"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    if request.param == "sqlite":
        yield SqliteConnection(str(tmp_path / "metadata.db"))
    elif request.param == "service":
        with serving(lambda: Store(str(tmp_path / "metadata.db")), "127.0.0.1", 0) as port:
            yield GrpcConnection("127.0.0.1", port)
    else:
        server = request.getfixturevalue(request.param)
        yield server.connection(server.new_database())


def _running(kind: type[DatabaseServer]) -> Iterator[DatabaseServer]:
    # Not in pytest's directory, which only its owner can enter: the servers run as other users.
    with tempfile.TemporaryDirectory() as root:
        server = kind(Path(root) / "server")
        server.start()
        yield server
        server.stop()
