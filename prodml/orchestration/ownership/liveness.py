"""Determines whether the holder of a lease is alive.

Each holder locks a file of its own in the temporary directory of its machine. The kernel releases
the lock, however the process ends. If another process finds the file unlocked, the holder is dead.
If it does not find the file, it cannot see the holder: the holder runs, or ran, on another machine,
in another container, as another user, or in another copy of a virtual machine, where host names,
boot ids and process numbers may be equal. Then only the heartbeats count.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
import stat
import tempfile
import time

from prodml.metadata.records import LeaseRecord, ProcessRecord

HEARTBEAT_SECONDS = 10.0
SILENCE_SECONDS = 60.0
"""A holder that cannot be seen counts as dead if its last heartbeat is older than this. The clocks
of machines that share a store must differ by much less."""

_STALE_SECONDS = 7 * 24 * 3600.0
_LOCK = ".lock"

_own: dict[str, int | None] = {}
"""Tokens of this process's holders, with the descriptors of their locks."""


def new_holder() -> ProcessRecord:
    """Makes this process the holder of one lease, until `end_holder` or the end of the process."""
    token = secrets.token_hex(8)
    _own[token] = _lock_file(token)
    return ProcessRecord(socket.gethostname(), _machine(), os.getpid(), token)


def end_holder(holder: ProcessRecord, is_released: bool) -> None:
    """Ends a holder of this process; other processes see it as dead at once.

    Args:
        is_released: whether the lease is recorded as released; its lock file is then removed.
    """
    descriptor = _own.pop(holder.token, None)
    with contextlib.suppress(OSError):
        if is_released:
            os.unlink(_lock_path(holder.token))
    if descriptor is not None:
        os.close(descriptor)


def is_own(holder: ProcessRecord) -> bool:
    """Whether this process is a lease's holder; a forked child is another process."""
    return holder.token in _own and holder.pid == os.getpid()


def is_held(lease: LeaseRecord) -> bool:
    """Whether a lease is not released and its holder is alive, as far as this process can see."""
    if lease.ended:
        return False
    is_alive = _is_alive(lease.holder)
    if is_alive is None:
        return time.time() - lease.heartbeat / 1000 < SILENCE_SECONDS
    return is_alive


def is_on_this_machine(holder: ProcessRecord) -> bool:
    """Whether a holder has the same boot and process namespace as this process."""
    return bool(holder.machine) and holder.machine == _machine()


def _is_alive(holder: ProcessRecord) -> bool | None:
    """Whether a holder's process runs; None if this process cannot see it."""
    # Checked first: closing a file releases all locks that this process has on it.
    if is_own(holder):
        return True
    if not is_on_this_machine(holder):
        return None
    if not _is_private(_lock_directory()):
        return None
    try:
        descriptor = os.open(_lock_path(holder.token), os.O_RDONLY)
    except OSError:
        return None
    try:
        # Shared, so that two processes that check at once do not see each other as the holder.
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock_file(token: str) -> int | None:
    """Creates and locks a file; None if that fails: then other processes rely on heartbeats."""
    with contextlib.suppress(OSError):
        directory = _lock_directory()
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, mode=0o700)
        if not _is_private(directory):
            return None
        _remove_stale_locks(directory)
        descriptor = os.open(_lock_path(token), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        # Not inherited by forks, unlike flock: an orphaned child must not keep a pipeline locked.
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor
    return None


def _is_private(directory: str) -> bool:
    """Whether only this user can have created the files in a directory.

    Every user may write to the temporary directory: a link in it can lead to any other place.
    """
    try:
        status = os.lstat(directory)
    except OSError:
        return False
    is_closed = not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and is_closed


def _remove_stale_locks(directory: str) -> None:
    """Removes the lock files of processes that ended long ago."""
    own = {f"{token}{_LOCK}" for token in _own}
    with os.scandir(directory) as entries:
        others = [e for e in entries if e.name.endswith(_LOCK) and e.name not in own]
    for entry in others:
        with contextlib.suppress(OSError):
            if time.time() - entry.stat(follow_symlinks=False).st_mtime < _STALE_SECONDS:
                continue
            with open(entry.path, "rb") as file:
                fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                os.unlink(entry.path)


def _lock_path(token: str) -> str:
    return os.path.join(_lock_directory(), f"{token}{_LOCK}")


def _lock_directory() -> str:
    return os.path.join(tempfile.gettempdir(), f"prodml-{os.geteuid()}")


def _machine() -> str:
    """Boot id and process namespace; empty if the system does not provide them."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""
