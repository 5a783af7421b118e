"""Finds and removes what killed runs and collections left under a pipeline's root."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prodml.errors import file_operation_error
from prodml.metadata.reading import LineageReader
from prodml.metadata.records import ExecutionRecord, State
from prodml.orchestration.garbage.shared_places import Claims
from prodml.orchestration.publish.manifest import recorded_execution
from prodml.orchestration.publish.publication import STAGING

_DELETED = ".deleted-"
_UNRECORDED_SECONDS = 3600.0
_BATCH = 1000


@dataclass(frozen=True)
class Leftover:
    """A directory that belongs to no artifact; `output` is `node` or `node.output`."""

    uri: str
    output: str
    why: str


@dataclass(frozen=True)
class _Found:
    """A directory on disk; `id` is the id of the execution in its name."""

    uri: str
    node: str
    output: str
    id: int


def find_leftovers(
    reader: LineageReader,
    roots: Iterable[str],
    live: Collection[str],
    claimed: Collection[str],
) -> list[Leftover]:
    """Finds leftovers under the roots of a pipeline that has no active run.

    Args:
        live: URIs of the pipeline's live artifacts.
        claimed: directories of imported artifacts and served versions.
    """
    found = [each for root in roots for each in _walk(root)]
    found = [each for each in found if each.uri not in live]
    executions = {e.id: e for e in reader.many_executions(sorted({each.id for each in found}))}
    states = _recorded(reader, sorted(executions))
    recorded = {_names(uri) for uri in states}
    claims = Claims(claimed)
    leftovers = []
    for each in found:
        execution = executions.get(each.id)
        name = os.path.basename(each.uri)
        if claims.overlap(each.uri):
            continue
        if name.startswith(_DELETED):
            why = "an earlier removal was interrupted"
        elif execution is None or execution.node_id != each.node:
            # A directory that this store does not know may belong to another store.
            continue
        elif execution.state is State.RUNNING:
            continue
        elif name.startswith(STAGING):
            why = f"execution {each.id} has ended"
        elif each.uri in states:
            if states[each.uri] != "DELETED":
                continue
            why = "it was recorded as deleted"
        elif _names(each.uri) in recorded:
            # Recorded by another path to the same directory, or before it was moved or copied.
            continue
        elif _is_unrecorded(each, execution):
            why = "no artifact is recorded there"
        else:
            continue
        leftovers.append(Leftover(each.uri, f"{each.node}.{each.output}".rstrip("."), why))
    return leftovers


def _recorded(reader: LineageReader, executions: Sequence[int]) -> dict[str, str]:
    """States, by URI, of all artifacts that the executions published."""
    states: dict[str, str] = {}
    for start in range(0, len(executions), _BATCH):
        links = reader.links_of_executions(executions[start : start + _BATCH])
        made = reader.artifacts(link.artifact_id for link in links if link.is_output)
        states |= {artifact.uri: artifact.state for artifact in made}
    return states


def _names(uri: str) -> tuple[str, ...]:
    """Node, output and execution id, which are the same under any root."""
    return tuple(uri.split(os.sep)[-3:])


def remove_directory(uri: str) -> None:
    """Removes a directory: hides it with one rename, then removes its files.

    Raises:
        StorageError: the filesystem refuses.
    """
    folder, name = os.path.split(uri)
    hidden = uri if name.startswith(".") else os.path.join(folder, f"{_DELETED}{name}")
    try:
        if hidden != uri:
            if os.path.isdir(hidden):
                shutil.rmtree(hidden)
            os.rename(uri, hidden)
        shutil.rmtree(hidden)
    except FileNotFoundError:
        # A person removed it by hand.
        return
    except OSError as error:
        raise file_operation_error(error, uri) from error


def is_reached_by_links(root: str, uri: str) -> bool:
    """Whether the real path of a directory below a root is elsewhere."""
    return os.path.realpath(uri) != os.path.join(os.path.realpath(root), os.path.relpath(uri, root))


def size_of(directory: str) -> int:
    """Size in bytes of all files below a directory; 0 if it does not exist."""
    size = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                size += os.lstat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                continue
    return size


def _walk(root: str) -> Iterator[_Found]:
    """Directories of executions below a root, also dotted ones; links are not followed."""
    for node in _folders(root):
        if node.name.startswith("."):
            continue
        for output in _folders(node.path):
            if output.name.startswith(STAGING):
                if (id := _number(output.name.removeprefix(STAGING))) is not None:
                    yield _Found(output.path, node.name, "", id)
            elif not output.name.startswith("."):
                for made in _folders(output.path):
                    if (id := _number(made.name.removeprefix(_DELETED))) is not None:
                        yield _Found(made.path, node.name, output.name, id)


def _folders(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _is_unrecorded(found: _Found, execution: ExecutionRecord) -> bool:
    """Whether an execution published a directory over an hour ago, but did not record it."""
    try:
        age = time.time() - os.stat(found.uri).st_mtime
    except OSError:
        return False
    return age > _UNRECORDED_SECONDS and recorded_execution(found.uri) == execution.name
