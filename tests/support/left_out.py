"""Deselects the tests whose database server is not installed, and reports them at the end.

All other tests still run on a laptop. With CI=true, deselected tests are a failure.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from support.database_servers import MariaDb, PostgreSql

SERVERS = {"postgresql": PostgreSql, "mariadb": MariaDb}
"""Servers by the parameter of the tests that need them."""

_left_out = pytest.StashKey[dict[str, int]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    missing = {name for name, server in SERVERS.items() if not server.is_installed()}
    lacking: dict[str, int] = {}
    kept, dropped = [], []
    for item in items:
        callspec = getattr(item, "callspec", None)
        needs = missing & {str(each) for each in callspec.params.values()} if callspec else set()
        for name in needs:
            lacking[name] = lacking.get(name, 0) + 1
        (dropped if needs else kept).append(item)
    config.stash[_left_out] = lacking
    if dropped:
        items[:] = kept
        config.hook.pytest_deselected(items=dropped)


def pytest_sessionfinish(session: pytest.Session) -> None:
    lacking = session.config.stash.get(_left_out, {})
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = lacking
    elif lacking and os.environ.get("CI") == "true":
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    # Each worker of pytest-xdist collects all tests, so all workers have the same counts.
    node.config.stash[_left_out] = getattr(node, "workeroutput", {}).get("left_out", {})


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    lacking = config.stash.get(_left_out, {})
    if lacking and not hasattr(config, "workerinput"):
        counts = " and ".join(f"{count} for {name}" for name, count in sorted(lacking.items()))
        print(
            f"left out, because their database server is not installed: {counts}; `make databases` "
            f"installs both on Debian"
        )
