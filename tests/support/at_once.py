"""Processes that write the same things at once; a module that a new process can import."""

import importlib
import multiprocessing
from typing import Any

from prodml.errors import ClaimedError
from prodml.metadata.connection import Connection
from prodml.metadata.records import TriggerClaim
from prodml.metadata.run_writing import RunWriter
from prodml.metadata.store import Store

PROCESSES, ROUNDS = 2, 6


def claims_of_many_processes(connection: Connection) -> list[list[Any]]:
    """For each round, the number of each process that got the claims, and None for the others."""
    return _by_round("claim_each_round", connection)


def type_ids_of_many_processes(connection: Connection) -> list[list[Any]]:
    """For each round, the id that each process got for a new context type."""
    return _by_round("register_each_round", connection)


def claim_each_round(connection: Connection, number: int, barrier: Any, answers: Any) -> None:
    """Claims two keys in each round, in another order in every process."""
    writer = RunWriter(Store(connection, retry_seconds=60))
    for round in range(ROUNDS):
        claims = [TriggerClaim(f"new_span:{round}", 1), TriggerClaim(f"older_than:{round}", 1)]
        if number % 2:
            claims.reverse()
        barrier.wait(60)
        try:
            writer.begin_run("p", f"run-{round}-{number}", "{}", claims=claims)
            answers.put((round, number))
        except ClaimedError:
            answers.put((round, None))


def register_each_round(connection: Connection, number: int, barrier: Any, answers: Any) -> None:
    """Registers one context type in each round."""
    store = Store(connection, retry_seconds=60)
    for round in range(ROUNDS):
        barrier.wait(60)
        answers.put((round, store.context_type(f"type-{round}")))


def _by_round(action: str, connection: Connection) -> list[list[Any]]:
    context = multiprocessing.get_context("spawn")
    # Imported again, because earlier tests may have reloaded this module.
    target = getattr(importlib.import_module("support.at_once"), action)
    barrier, answers = context.Barrier(PROCESSES), context.Queue()
    processes = [
        context.Process(target=target, args=(connection, number, barrier, answers))
        for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    found: list[list[Any]] = [[] for _ in range(ROUNDS)]
    for _ in range(PROCESSES * ROUNDS):
        round, answer = answers.get(timeout=60)
        found[round].append(answer)
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return found
