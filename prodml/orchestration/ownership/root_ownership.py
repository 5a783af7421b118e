"""The owner of a pipeline root: one metadata store, named by a marker file in the root.

`<pipeline_root>/.prodml-root.json` names the store. Execution ids name directories, and they start
at 1 in every store: two stores that share a root would use the same directories.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from prodml.errors import RootError, file_operation_error
from prodml.metadata.connection import Connection, SqliteConnection
from prodml.metadata.identity import store_id
from prodml.metadata.reading import LineageReader
from prodml.metadata.store import Store
from prodml.orchestration.ownership import leases
from prodml.orchestration.publish.manifest import MANIFEST
from prodml.orchestration.publish.publication import STAGING
from prodml.storage import objects
from prodml.storage.locations import is_url, join, normalized
from prodml.storage.syncing import make_directories, sync

MARKER = ".prodml-root.json"

_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


@dataclass(frozen=True)
class RootOwner:
    """The store that a root belongs to.

    Attributes:
        store_id: its id, see `prodml.metadata.identity`.
        connection: where the store was when it claimed the root, without a password; for messages.
    """

    store_id: str
    connection: str


def owner(store: Store) -> RootOwner:
    """The owner record of a store, as written to the marker of its roots."""
    return RootOwner(store_id(store), place_of(store.connection))


def place_of(connection: Connection) -> str:
    """Where a store is, independent of the working directory and without a password."""
    if isinstance(connection, SqliteConnection):
        return os.path.abspath(connection.path)
    return str(connection)


def owner_of(root: str) -> RootOwner | None:
    """The store that a root belongs to; None if it belongs to none yet.

    Raises:
        RootError: the root's marker is damaged.
        StorageError: the filesystem or the object store refuses.
    """
    place = join(normalized(root), MARKER)
    try:
        if is_url(place):
            text: str | bytes = objects.read(place)
        else:
            with open(place, encoding="utf-8") as file:
                text = file.read()
        return RootOwner(**json.loads(text))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise file_operation_error(error, place) from error
    except (ValueError, TypeError) as error:
        raise RootError(f"{place} is damaged: {error}; `prodml root adopt` rewrites it") from error


def claim(root: str, claimant: RootOwner, is_recorded: Callable[[str], bool]) -> None:
    """Checks that a root belongs to a store; claims a root that has no owner yet.

    Args:
        is_recorded: whether the store has a record of an artifact at a path or URL.

    Raises:
        RootError: the root belongs to another store, or contains artifacts that the store does not
            know.
        StorageError: the filesystem or the object store refuses.
    """
    root = normalized(root)
    found = owner_of(root)
    if found is None:
        foreign = next((each for each in _artifacts_in(root) if not is_recorded(each)), None)
        if foreign is not None:
            raise RootError(
                f"pipeline root {root} contains artifacts that the metadata store "
                f"{claimant.connection} does not know, such as {foreign}; {_ADVICE}"
            )
        found = _mark(root, claimant)
    if found.store_id != claimant.store_id:
        raise RootError(
            f"pipeline root {root} belongs to another metadata store, {found.connection}, and not "
            f"to {claimant.connection}; {_ADVICE}"
        )


def adopt(
    root: str, open_store: Callable[[], Store], wait: leases.Wait | None = None
) -> str | None:
    """Makes a store the owner of a root, whichever store owned it before.

    Artifacts that the store does not know could be in the way of its own, so they are moved aside.
    The store's pipelines in the root are locked meanwhile, so that no run publishes there.

    Args:
        wait: if given, pipelines that are in use are waited for.

    Returns:
        The directory that artifacts were moved to; None if there were none.

    Raises:
        BusyError: a run of a pipeline in the root is active.
        RootError: the root is in an object store, where files cannot be moved, and contains
            artifacts that the store does not know.
        StorageError: the filesystem or the object store refuses.
    """
    root, store = normalized(root), open_store()
    reader, claimant = LineageReader(store), owner(store)
    with contextlib.suppress(RootError):
        found = owner_of(root)
        if found is not None and found.store_id == claimant.store_id:
            return None
    with contextlib.ExitStack() as held:
        for name in reader.pipelines():
            if os.path.isdir(join(root, name)):
                id = f"adopt-{secrets.token_hex(4)}"
                held.enter_context(leases.hold(open_store, name, id, wait))
        return _adopt_locked(root, claimant, reader.is_artifact_at)


def _adopt_locked(root: str, claimant: RootOwner, is_recorded: Callable[[str], bool]) -> str | None:
    foreign = [each for each in _artifacts_in(root) if not is_recorded(each)]
    if is_url(root):
        if foreign:
            raise RootError(
                f"{root} contains artifacts of another metadata store, and files in an object "
                f"store cannot be moved aside; set pipeline_root to another place"
            )
        objects.write(join(root, MARKER), _text(claimant))
        return None
    try:
        aside = _move_aside(root, [*foreign, *_staging_in(root)])
        _replace(os.path.join(root, MARKER), _text(claimant))
    except OSError as error:
        raise file_operation_error(error, root) from error
    return aside


_ADVICE = (
    "set pipeline_root to another place, or use the store that made them; if that store is gone, "
    "`prodml root adopt` moves its artifacts aside and claims the root"
)


def _artifacts_in(root: str) -> Iterator[str]:
    """Paths or URLs below a root at which a run of any store published an artifact."""
    if is_url(root):
        for path in objects.listing(root):
            *names, last = path.split("/")
            if last == MANIFEST and len(names) == 4:
                yield join(root, *names)
        return
    # A star does not match a leading dot, so directories that were set aside before are skipped.
    pattern = os.path.join(glob.escape(root), "*", "*", "*", "*", MANIFEST)
    yield from map(os.path.dirname, glob.iglob(pattern))


def _staging_in(root: str) -> list[str]:
    return glob.glob(os.path.join(glob.escape(root), "*", "*", f"{STAGING}*"))


def _mark(root: str, claimant: RootOwner) -> RootOwner:
    """Writes the marker unless another process wrote it first; returns the owner in the marker."""
    place = join(root, MARKER)
    if is_url(place):
        objects.create(place, _text(claimant))
    else:
        try:
            _create_atomically(place, _text(claimant))
        except OSError as error:
            raise file_operation_error(error, place) from error
    return owner_of(root) or claimant


def _create_atomically(path: str, content: bytes) -> None:
    """Creates a complete file in one step; an existing file is not changed."""
    with _written_beside(path, content) as partial, contextlib.suppress(FileExistsError):
        try:
            os.link(partial, path)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            # FAT, SMB and some FUSE filesystems have no hard links. Only a crash here leaves a
            # partial file.
            with open(path, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
    sync(os.path.dirname(path))


def _replace(path: str, content: bytes) -> None:
    with _written_beside(path, content) as partial:
        os.replace(partial, path)
    sync(os.path.dirname(path))


@contextlib.contextmanager
def _written_beside(path: str, content: bytes) -> Iterator[str]:
    """Writes a temporary file beside a path; it is removed after the block unless renamed."""
    make_directories(os.path.dirname(path))
    partial = f"{path}.{secrets.token_hex(4)}"
    try:
        with open(partial, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield partial
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)


def _move_aside(root: str, places: Sequence[str]) -> str | None:
    if not places:
        return None
    aside = os.path.join(root, f".set-aside-{secrets.token_hex(4)}")
    for place in places:
        target = os.path.join(aside, os.path.relpath(place, root))
        make_directories(os.path.dirname(target))
        os.rename(place, target)
        sync(os.path.dirname(target))
        sync(os.path.dirname(place))
    for place in places:
        with contextlib.suppress(OSError):
            # Removes empty directories, so that the moved directories can be moved back as a whole.
            os.removedirs(os.path.dirname(place))
    return aside


def _text(owner: RootOwner) -> bytes:
    return (json.dumps(asdict(owner), indent=2) + "\n").encode()
