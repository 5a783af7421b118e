"""A PostgreSQL and a MariaDB server for the tests of this directory."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.database_servers import DatabaseServer, MariaDb, PostgreSql


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


def _running(kind: type[DatabaseServer]) -> Iterator[DatabaseServer]:
    # Not in pytest's directory, which only its owner can enter: the servers run as other users.
    with tempfile.TemporaryDirectory() as root:
        server = kind(Path(root) / "server")
        server.start()
        yield server
        server.stop()
