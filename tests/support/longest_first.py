"""Lets each worker begin with one of the longest groups of tests.

xdist gives each worker a contiguous part of the tests, and lets workers without tests take over
tests of others. A long group that begins last would leave the other workers with nothing to do.
"""

import os

import pytest

GROUPS = (
    "tests/faults/",
    "tests/e2e/test_tfx_modules.py",
    "tests/e2e/test_flights.py",
    "tests/integration/components/trainer/",
    "tests/integration/components/transform/",
    "tests/integration/metadata/test_fencing.py",
    "tests/integration/components/infra_validator/",
)
"""Beginnings of test ids, the longest group first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers == 1:
        return
    groups: list[list[pytest.Item]] = [[] for _ in GROUPS]
    others: list[pytest.Item] = []
    for item in items:
        number = next((n for n, start in enumerate(GROUPS) if item.nodeid.startswith(start)), None)
        (others if number is None else groups[number]).append(item)
    # The parts that xdist makes have the same number of tests.
    share = -(-len(items) // workers)
    items.clear()
    for worker in range(workers):
        part = [item for group in groups[worker::workers] for item in group]
        rest = max(0, share - len(part)) if worker < workers - 1 else len(others)
        items += [*part, *others[:rest]]
        del others[:rest]
