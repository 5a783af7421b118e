"""Every error prodml raises on purpose.

ProdmlError
├── RequestError              the request was wrong; nothing ran            (exit code 2)
│   ├── DefinitionError       a pipeline or component is declared wrongly
│   ├── ParameterError        a runtime parameter is unknown or has the wrong type
│   ├── ConfigError           a configuration file or PRODML_ variable is wrong
│   ├── NotFoundError         a run, artifact or file that was asked for does not exist
│   ├── BusyError             another run of the pipeline goes on
│   ├── RootError             a pipeline root belongs to another metadata store
│   └── RolloutError          a version cannot be moved to, or from, a label
├── RunFailedError            one or more nodes failed                      (exit code 1)
├── NodeError                 one node failed
│   ├── ResolutionError       its inputs could not be resolved
│   ├── InputDataError        the data it was given cannot be used
│   ├── UserCodeError         a user's module or function failed
│   ├── ModelContractError    a model does not offer what a component needs
│   ├── ValidationError       the data is not what the schema allows
│   ├── RowCountError         rows in and rows out do not add up
│   ├── ArtifactError         an input is not what its producer published
│   ├── LimitError            it took more time or memory than its configuration allows
│   ├── WorkerLostError       its process, or a worker, died
│   └── StorageError          the filesystem refused: full, read-only, gone
├── MetadataError             ML Metadata refused a call                    (exit code 1)
│   ├── FencedError           another process has taken this run over
│   └── MetadataUnavailableError   it did not answer, and what it recorded is open
├── ServingError              a model server refused or could not answer    (exit code 1)
├── NotPushedError            --require-push, and nothing was pushed        (exit code 3)
└── CancelledError            the user or the system stopped the run        (exit code 130)

Messages say what happened, where, and what to do.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence


class ProdmlError(Exception):
    """Base of everything prodml raises on purpose."""

    exit_code = 1


class RequestError(ProdmlError):
    """The request was wrong; nothing ran."""

    exit_code = 2


class DefinitionError(RequestError):
    """A pipeline or component is declared wrongly.

    Args:
        message: what is wrong and how to mend it.
        location: `file:line` of the author's code, put before the message.
    """

    def __init__(self, message: str, location: str | None = None) -> None:
        super().__init__(f"{location}: {message}" if location else message)
        self.location = location


class ParameterError(RequestError):
    """A runtime parameter is unknown, missing or has the wrong type."""


class ConfigError(RequestError):
    """A configuration file or a PRODML_ variable is wrong."""


class NotFoundError(RequestError):
    """A run, artifact or file that was asked for does not exist."""


class BusyError(RequestError):
    """Another run of the pipeline goes on; says which, and where."""


class RootError(RequestError):
    """A pipeline root belongs to another metadata store; nothing in it was changed."""


class RolloutError(RequestError):
    """A version cannot be moved to, or from, a label; what is served has not changed."""


class NodeError(ProdmlError):
    """One node failed; the message names the cause."""


class ResolutionError(NodeError):
    """The inputs of a node could not be resolved."""


class InputDataError(NodeError):
    """Data cannot be used: names the file, the row or the column, and the mend."""


class UserCodeError(NodeError):
    """A user's module does not import, lacks a function, or raised; names the user's line."""


class ModelContractError(NodeError):
    """A model does not offer the signature, input or output that a component needs."""


class ValidationError(NodeError):
    """The data is not what the schema allows and the node was told to fail on it."""


class RowCountError(NodeError):
    """Rows read, written and dropped by a node do not add up."""


class ArtifactError(NodeError):
    """An input is not what its producer published: changed, damaged or gone."""


class LimitError(NodeError):
    """A node took more time or memory than its configuration allows, and was stopped."""


class WorkerLostError(NodeError):
    """The process of a node, or a worker of its runner, died without a word."""


class StorageError(NodeError):
    """The filesystem refused: full, read-only, permission denied, or a path that is gone."""


class RunFailedError(ProdmlError):
    """One or more nodes of a run failed.

    Args:
        run_id: the run that failed.
        causes: (node id, message) of each failed node, in topological order.
    """

    def __init__(self, run_id: str, causes: Sequence[tuple[str, str]]) -> None:
        lines = "\n".join(f"  {node_id}: {message}" for node_id, message in causes)
        super().__init__(f"run {run_id} failed in {len(causes)} node(s):\n{lines}")
        self.run_id = run_id
        self.causes = tuple(causes)
        self.result: object = None
        """The RunResult, where the run got as far as having one."""


class MetadataError(ProdmlError):
    """ML Metadata refused a call."""


class FencedError(MetadataError):
    """Another process has taken this run over; what this process tried to record is refused."""


class MetadataUnavailableError(MetadataError):
    """ML Metadata did not answer within the retry budget, or refused after an answer was lost;
    whether it did what was asked is open."""


class ServingError(ProdmlError):
    """A model server refused a request, or could not answer it.

    Args:
        code: the canonical name of the status, such as NOT_FOUND; gRPC's and TensorFlow's alike.
        message: what the client is told.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NotPushedError(ProdmlError):
    """The run succeeded but no model was pushed, and --require-push was given."""

    exit_code = 3


class CancelledError(ProdmlError):
    """The run was stopped by the user or the system."""

    exit_code = 130


_STORAGE_ADVICE = {
    errno.ENOSPC: "the disk is full; free space, or set pipeline_root to another disk",
    errno.EDQUOT: "the disk quota is used up; free space, or set pipeline_root to another disk",
    errno.EROFS: "the filesystem is read-only; set pipeline_root to a writable place",
    errno.EACCES: "permission denied; check the owner and mode of the path",
    errno.EPERM: "the operation is not permitted; check the owner and mode of the path",
}


def storage_error(error: OSError) -> StorageError | None:
    """The StorageError that an OSError stands for, or None if it is not about storage."""
    if error.errno not in _STORAGE_ADVICE:
        return None
    return refused_by_filesystem(error)


def refused_by_filesystem(error: OSError, path: str = "") -> StorageError:
    """The StorageError for any OSError of a file operation that prodml itself made.

    Args:
        path: named in the message if the error names none.
    """
    advice = _STORAGE_ADVICE.get(error.errno or 0)
    if advice is None:
        reason = error.strerror or str(error) or type(error).__name__
        advice = f"{reason}; check the path and its filesystem, then run again"
    where = error.filename or path
    return StorageError(f"{where}: {advice}" if where else advice)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, then what it was raised from, outermost first; each error once.

    Code that raises an error from itself, or from one of its own effects, makes a cycle.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def causes_and_contexts(error: BaseException) -> Iterator[BaseException]:
    """The same, with the members of groups, and the errors during whose handling others came."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            pending += reversed(current.exceptions)
        pending += [current.__context__, current.__cause__]
