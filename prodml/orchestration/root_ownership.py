"""A pipeline root belongs to one metadata store, and says so on disk.

`<pipeline_root>/.prodml-root.json` names the store. Ids of executions name directories, and they
start at 1 in every store: two stores on one root would meet in the same directories.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from prodml.errors import RootError, refused_by_filesystem
from prodml.metadata.identity import store_id
from prodml.metadata.store import Store
from prodml.orchestration.manifest import MANIFEST
from prodml.storage import objects
from prodml.storage.locations import is_url, join, normal
from prodml.storage.syncing import make_directories, sync

MARKER = ".prodml-root.json"


@dataclass(frozen=True)
class RootOwner:
    """The store that a root belongs to.

    Attributes:
        store_id: its id, see `prodml.metadata.identity`.
        connection: where it was when it took the root, for a person; without a password.
    """

    store_id: str
    connection: str


def owner(store: Store) -> RootOwner:
    """A store, as the roots that belong to it name it."""
    return RootOwner(store_id(store), str(store.connection))


def owner_of(root: str) -> RootOwner | None:
    """The store that a root belongs to, or None if it belongs to none yet.

    Raises:
        RootError: its marker is damaged.
        StorageError: the filesystem or the object store refuses.
    """
    place = join(normal(root), MARKER)
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
        raise refused_by_filesystem(error, place) from error
    except (ValueError, TypeError) as error:
        raise RootError(f"{place} is damaged: {error}; `prodml root adopt` rewrites it") from error


def claim(root: str, claimant: RootOwner, is_recorded: Callable[[str], bool]) -> None:
    """Returns if a root belongs to a store; one that belongs to none does from now on.

    Args:
        is_recorded: whether the store knows an artifact at a place.

    Raises:
        RootError: it belongs to another store, or holds artifacts that the store does not know.
        StorageError: the filesystem or the object store refuses.
    """
    root = normal(root)
    found = owner_of(root)
    if found is None:
        foreign = next((each for each in _artifacts_in(root) if not is_recorded(each)), None)
        if foreign is not None:
            raise RootError(
                f"pipeline root {root} holds artifacts that the metadata store "
                f"{claimant.connection} does not know, such as {foreign}; {_ADVICE}"
            )
        found = _mark(root, claimant)
    if found.store_id != claimant.store_id:
        raise RootError(
            f"pipeline root {root} belongs to another metadata store, {found.connection}, and not "
            f"to {claimant.connection}; {_ADVICE}"
        )


def adopt(root: str, claimant: RootOwner) -> str | None:
    """Gives a root to a store, whoever it belonged to.

    Artifacts that are there would meet those of the store, so they are moved out of its way.

    Returns:
        The directory that the pipelines' directories were moved to, or None if there were none.

    Raises:
        RootError: it is in an object store and holds artifacts: nothing can be moved there.
        StorageError: the filesystem or the object store refuses.
    """
    root = normal(root)
    with contextlib.suppress(RootError):
        found = owner_of(root)
        if found is not None and found.store_id == claimant.store_id:
            return None
    holds_artifacts = next(_artifacts_in(root), None) is not None
    if is_url(root):
        if holds_artifacts:
            raise RootError(
                f"{root} holds artifacts of another metadata store, and an object store cannot "
                f"move them out of the way; set pipeline_root to another place"
            )
        objects.write(join(root, MARKER), _text(claimant))
        return None
    try:
        aside = _move_pipelines_aside(root) if holds_artifacts else None
        make_directories(root)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(root, MARKER))
    except OSError as error:
        raise refused_by_filesystem(error, root) from error
    _mark(root, claimant)
    return aside


_ADVICE = (
    "set pipeline_root to another place, or use the store that made them; if that store is gone, "
    "`prodml root adopt` moves its artifacts aside and takes the root over"
)


def _artifacts_in(root: str) -> Iterator[str]:
    """Places below a root in which any store's run published an artifact."""
    if is_url(root):
        for path in objects.listing(root):
            *names, last = path.split("/")
            if last == MANIFEST and len(names) == 4:
                yield join(root, *names)
        return
    # A star matches no leading dot, so what was set aside before is left alone.
    pattern = os.path.join(glob.escape(root), "*", "*", "*", "*", MANIFEST)
    yield from map(os.path.dirname, glob.iglob(pattern))


def _mark(root: str, claimant: RootOwner) -> RootOwner:
    """Writes the marker unless another process was first; gives what the root says then."""
    place = join(root, MARKER)
    if is_url(place):
        objects.create(place, _text(claimant))
    else:
        try:
            _create_whole(place, _text(claimant))
        except OSError as error:
            raise refused_by_filesystem(error, place) from error
    return owner_of(root) or claimant


def _create_whole(path: str, content: bytes) -> None:
    """Makes a file that is there whole or not at all; one that exists stays as it is."""
    directory = os.path.dirname(path)
    make_directories(directory)
    partial = f"{path}.{secrets.token_hex(4)}"
    try:
        with open(partial, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(partial, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
    sync(directory)


def _move_pipelines_aside(root: str) -> str:
    aside = os.path.join(root, f".set-aside-{secrets.token_hex(4)}")
    os.mkdir(aside)
    for place in {os.path.relpath(each, root).split(os.sep)[0] for each in _artifacts_in(root)}:
        os.rename(os.path.join(root, place), os.path.join(aside, place))
    sync(aside)
    sync(root)
    return aside


def _text(owner: RootOwner) -> bytes:
    return (json.dumps(asdict(owner), indent=2) + "\n").encode()
