"""Leases: one run at a time for each pipeline, on any number of machines.

The holder of a lease records heartbeats. Another process can acquire the next lease of a pipeline
if the holder released its lease or is dead.
"""

from __future__ import annotations

import _thread
import contextlib
import datetime
import os
import select
import threading
from collections.abc import Callable, Iterator

from prodml.errors import BusyError, MetadataUnavailableError, ProdmlError
from prodml.metadata.fencing import lost_lease
from prodml.metadata.leases import LeaseTable
from prodml.metadata.records import LeaseRecord, ProcessRecord
from prodml.metadata.store import Store
from prodml.orchestration.ownership import liveness
from prodml.orchestration.ownership.liveness import (
    end_holder,
    is_held,
    is_on_this_machine,
    new_holder,
)

_POLL_SECONDS = 1.0

Wait = Callable[[LeaseRecord], None]
"""Called once with the lease that blocks this run."""


@contextlib.contextmanager
def hold(
    open_store: Callable[[], Store], pipeline: str, run_id: str, wait: Wait | None = None
) -> Iterator[LeaseRecord]:
    """Holds the lease of a pipeline while the block runs; only one process can, on any machine.

    A thread records a heartbeat every ten seconds. If another process assumed that this one is
    dead (for example, because the machine was asleep) and acquired the lease, the main thread is
    interrupted.

    Args:
        open_store: opens the store; the thread needs its own connection.
        run_id: id of the run that uses the pipeline, shown to other processes.
        wait: if given, waits until the pipeline is free.

    Raises:
        BusyError: another process holds the lease.
        FencedError: another process acquired the lease while the block ran.
    """
    holder, is_released = new_holder(), False
    try:
        table = LeaseTable(open_store())
        try:
            lease = _acquire(table, pipeline, run_id, holder, wait)
        except BusyError:
            # No lease names this holder, so its lock file is not needed.
            is_released = True
            raise
        heartbeat = _Heartbeat(open_store, lease)
        try:
            heartbeat.start()
            yield lease
        except MetadataUnavailableError:
            # Another retry would block just as long.
            heartbeat.stop()
            raise
        except BaseException as error:
            heartbeat.stop()
            is_lost = heartbeat.is_lost
            with contextlib.suppress(ProdmlError):
                # If the lease is lost, that is the cause of the error.
                is_lost = is_lost or not table.is_newest(lease)
                table.release(lease)
                is_released = True
            if is_lost:
                raise lost_lease(pipeline, run_id) from error
            raise
        heartbeat.stop()
        table.release(lease)
        is_released = True
    finally:
        # This process may live for long; a lease that it could not release must be free anyway.
        end_holder(holder, is_released)


class _Heartbeat:
    """Records heartbeats of a lease in a thread."""

    def __init__(self, open_store: Callable[[], Store], lease: LeaseRecord) -> None:
        self._open_store = open_store
        self._lease = lease
        self._is_done = threading.Event()
        self._table: LeaseTable | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.is_lost = False
        """Whether another process has acquired a newer lease of the pipeline."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stops the thread and waits for it: a late heartbeat would reopen a released lease."""
        self._is_done.set()
        if self._thread.ident is None:
            return
        try:
            self._thread.join()
        except KeyboardInterrupt:
            # The thread itself interrupted: it found the lease lost after the block had ended.
            if not self.is_lost:
                raise
            self._thread.join()

    def _run(self) -> None:
        while not self._is_done.wait(liveness.HEARTBEAT_SECONDS) and not self.is_lost:
            # If a heartbeat fails, the next one makes up for it; the run itself gets the error.
            with contextlib.suppress(ProdmlError):
                self._beat()

    def _beat(self) -> None:
        """Records a heartbeat, or interrupts the run if the lease is lost."""
        self._table = self._table or LeaseTable(self._open_store())
        if self._table.is_newest(self._lease):
            self._table.record_heartbeat(self._lease)
        else:
            self.is_lost = True
            _thread.interrupt_main()


def _acquire(
    table: LeaseTable, pipeline: str, run_id: str, holder: ProcessRecord, wait: Wait | None
) -> LeaseRecord:
    waited_for = None
    while True:
        newest = table.newest(pipeline)
        if newest is not None and is_held(newest):
            if wait is None:
                raise BusyError(_busy(newest))
            if waited_for != newest.id:
                wait(newest)
                waited_for = newest.id
            _wait_for_change(newest)
            continue
        number = newest.number + 1 if newest else 1
        if lease := table.acquire(pipeline, number, run_id, holder):
            return lease


def _busy(lease: LeaseRecord) -> str:
    seen = datetime.datetime.fromtimestamp(lease.heartbeat / 1000)
    lapses = seen + datetime.timedelta(seconds=liveness.SILENCE_SECONDS)
    return (
        f"pipeline {lease.pipeline} is in use: {lease.run_id} is active in process "
        f"{lease.holder.pid} on {lease.holder.host} (last seen {seen:%Y-%m-%d %H:%M:%S}); "
        f"wait for it with --wait, or stop it; if that process is dead, its lease lapses at "
        f"{lapses:%H:%M:%S}"
    )


def _wait_for_change(lease: LeaseRecord) -> None:
    """Waits until the holder's process has ended, for at most a second."""
    if is_on_this_machine(lease.holder) and hasattr(os, "pidfd_open"):
        # Containers can forbid pidfd_open.
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(lease.holder.pid)
            try:
                # The pidfd of a zombie is always readable: waiting for it would be a busy loop.
                if not select.select([descriptor], [], [], 0)[0]:
                    select.select([descriptor], [], [], _POLL_SECONDS)
                    return
            finally:
                os.close(descriptor)
    threading.Event().wait(_POLL_SECONDS)
