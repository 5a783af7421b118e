"""Leases on a real SQLite store."""

from pathlib import Path

import pytest

from prodml.metadata.leases import LeaseTable
from prodml.metadata.records import ProcessRecord
from prodml.metadata.store import Store

US = ProcessRecord("here", "boot", 1, "a")
THEM = ProcessRecord("there", "boot", 2, "b")


@pytest.fixture
def leases(tmp_path: Path) -> LeaseTable:
    return LeaseTable(Store(str(tmp_path / "metadata.db")))


def test_a_lease_is_acquired_by_one_process_only(leases: LeaseTable) -> None:
    assert leases.newest("p") is None
    ours = leases.acquire("p", 1, "run", US)
    assert ours is not None and leases.newest("p") == ours
    assert leases.acquire("p", 1, "other", THEM) is None
    assert leases.newest("p") == ours


def test_acquiring_again_after_a_lost_response_returns_the_same_lease(leases: LeaseTable) -> None:
    assert leases.acquire("p", 1, "run", US) == leases.acquire("p", 1, "run", US)


def test_a_later_lease_is_the_newest(leases: LeaseTable) -> None:
    first = leases.acquire("p", 1, "run", US)
    assert first is not None and leases.is_newest(first)
    second = leases.acquire("p", 2, "other", THEM)
    assert second is not None
    assert leases.newest("p") == second
    assert not leases.is_newest(first) and leases.is_newest(second)


def test_pipelines_have_separate_leases(leases: LeaseTable) -> None:
    ours, theirs = leases.acquire("a_b", 1, "run", US), leases.acquire("axb", 1, "other", THEM)
    assert (leases.newest("a_b"), leases.newest("axb")) == (ours, theirs)


def test_a_heartbeat_and_the_end_are_recorded(leases: LeaseTable) -> None:
    lease = leases.acquire("p", 1, "run", US)
    assert lease is not None and lease.ended == 0
    leases.record_heartbeat(lease)
    beaten = leases.by_id([lease.id])[lease.id]
    assert beaten.heartbeat >= lease.heartbeat and beaten.ended == 0
    leases.release(lease)
    assert leases.by_id([lease.id, 4711])[lease.id].ended >= lease.heartbeat
