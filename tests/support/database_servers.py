"""Real PostgreSQL and MariaDB servers for tests, with separate data and free loopback ports.

They are in Debian's packages postgresql and mariadb-server, which `make databases` installs.
"""

from __future__ import annotations

import abc
import contextlib
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prodml.metadata.connection import MySqlConnection, PostgreSqlConnection
from prodml.secrets import Secret

USER, PASSWORD_VARIABLE = "prodml", "TEST_DATABASE_PASSWORD"
PASSWORD = "only-on-loopback"
_SECONDS_TO_START = 60.0


class DatabaseServer(abc.ABC):
    """A server that can be stopped, killed and started again on the same port and data.

    Args:
        root: directory for the server's data, socket and log.
    """

    account = ""
    """The user that runs the server if the tests run as root, which both servers reject."""

    programs: tuple[str, ...] = ()
    """The programs that must be installed."""

    @classmethod
    def is_installed(cls) -> bool:
        return all(_program(name) is not None for name in cls.programs)

    def __init__(self, root: Path) -> None:
        os.environ[PASSWORD_VARIABLE] = PASSWORD
        self.root = root
        self.data = root / "data"
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        root.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(root, self.account)
            for parent in root.parents:
                with contextlib.suppress(PermissionError):
                    parent.chmod(parent.stat().st_mode | 0o011)

    def start(self) -> None:
        """Starts the server, and returns when it is ready."""
        if not self.data.exists():
            self._initialise()
        with open(self.root / "log", "ab") as log:
            self._process = subprocess.Popen(
                self._server(),
                stdout=log,
                stderr=log,
                cwd=self.root,
                start_new_session=True,
                **self._as_account(),
            )
        deadline = time.monotonic() + _SECONDS_TO_START
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.root / "log").read_text()[-4000:])
            time.sleep(0.05)

    def stop(self) -> None:
        """Shuts the server down; clients lose their connections."""
        self._end(signal.SIGINT if self.account == "postgres" else signal.SIGTERM)

    def kill(self) -> None:
        """Kills the server, as a power failure would."""
        self._end(signal.SIGKILL)

    def new_database(self) -> str:
        """Creates an empty database that the test user owns, and returns its name."""
        self._databases += 1
        name = f"prodml_{self._databases}"
        self._create(name)
        return name

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        if number is signal.SIGKILL:
            os.killpg(self._process.pid, number)
        else:
            self._process.send_signal(number)
        self._process.wait(60)

    def _run(self, command: Sequence[str], text: str | None = None) -> str:
        ran = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            cwd=self.root,
            **self._as_account(),
        )
        assert ran.returncode == 0, f"{command}: {ran.stdout} {ran.stderr}"
        return ran.stdout

    def _as_account(self) -> dict[str, Any]:
        """Options of subprocess to run as the server's account."""
        # MariaDB writes temporary files, and must not write into those of another user.
        options: dict[str, Any] = {"env": {**os.environ, "TMPDIR": str(self.root)}}
        if os.geteuid() != 0:
            return options
        account = pwd.getpwnam(self.account)
        return {**options, "user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def _answers(self) -> bool:
        with contextlib.suppress(AssertionError):
            self.sql("SELECT 1")
            return True
        return False

    @abc.abstractmethod
    def _initialise(self) -> None: ...

    @abc.abstractmethod
    def _server(self) -> list[str]: ...

    @abc.abstractmethod
    def _create(self, name: str) -> None: ...

    @abc.abstractmethod
    def sql(self, text: str) -> str:
        """Runs a statement as administrator, and returns the output of the server's client."""


class PostgreSql(DatabaseServer):
    account = "postgres"
    programs = ("initdb", "postgres", "psql")

    def connection(self, database: str, port: int | None = None) -> PostgreSqlConnection:
        return PostgreSqlConnection(
            "127.0.0.1", port or self.port, database, USER, Secret(f"env:{PASSWORD_VARIABLE}")
        )

    def sql(self, text: str) -> str:
        client = [
            _found("psql"),
            "-h",
            str(self.root),
            "-p",
            str(self.port),
            "-d",
            "postgres",
            "-v",
        ]
        return self._run([*client, "ON_ERROR_STOP=1", "-At"], text)

    def _initialise(self) -> None:
        self._run(
            [_found("initdb"), "-D", str(self.data), "-E", "UTF8", "--auth-host=scram-sha-256"]
        )

    def _server(self) -> list[str]:
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.root,
            "max_connections": 40,
        }
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [_found("postgres"), "-D", str(self.data), *flags]

    def _create(self, name: str) -> None:
        with contextlib.suppress(AssertionError):
            self.sql(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
        self.sql(f"CREATE DATABASE {name} OWNER {USER}")


class MariaDb(DatabaseServer):
    account = "mysql"
    programs = ("mariadb-install-db", "mariadbd", "mariadb")

    def connection(self, database: str, port: int | None = None) -> MySqlConnection:
        return MySqlConnection(
            "127.0.0.1", port or self.port, database, USER, Secret(f"env:{PASSWORD_VARIABLE}")
        )

    def sql(self, text: str) -> str:
        return self._run(["mariadb", "--no-defaults", "-S", str(self._socket), "-N"], text)

    @property
    def _socket(self) -> Path:
        return self.root / "socket"

    def _initialise(self) -> None:
        self._run(
            [
                *("mariadb-install-db", "--no-defaults", f"--datadir={self.data}"),
                *("--skip-test-db", "--auth-root-authentication-method=socket"),
                f"--auth-root-socket-user={self._owner}",
            ]
        )

    @property
    def _owner(self) -> str:
        return self.account if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name

    def _server(self) -> list[str]:
        return [
            *(_found("mariadbd"), "--no-defaults", f"--datadir={self.data}", f"--port={self.port}"),
            *("--bind-address=127.0.0.1", f"--socket={self._socket}", "--skip-log-bin"),
            *("--innodb-buffer-pool-size=64M", f"--pid-file={self.root / 'pid'}"),
        ]

    def _create(self, name: str) -> None:
        self.sql(
            f"CREATE DATABASE {name}; CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED VIA "
            f"mysql_native_password USING PASSWORD('{PASSWORD}'); "
            f"GRANT ALL ON {name}.* TO '{USER}'@'%';"
        )


def _program(name: str) -> str | None:
    """The path of a program, or None.

    Debian installs PostgreSQL's programs by version, and MariaDB's server outside of users' PATH.
    """
    versions = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return versions[-1] if versions else shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")


def _found(name: str) -> str:
    path = _program(name)
    if path is None:
        raise RuntimeError(f"{name} is not installed; `make databases` installs it")
    return path


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
