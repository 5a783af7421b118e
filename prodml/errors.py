"""Every error that prodml raises on purpose.

ProdmlError
├── RequestError              the request was invalid; nothing ran          (exit code 2)
│   ├── DefinitionError       the declaration of a pipeline or component is invalid
│   ├── ParameterError        a runtime parameter is unknown or has the wrong type
│   ├── ConfigError           a configuration file or PRODML_ variable is invalid
│   ├── NotFoundError         a requested run, artifact or file does not exist
│   ├── BusyError             another run of the pipeline is in progress
│   ├── ClaimedError          another process has started the run that a trigger asks for
│   ├── ClockError            the clocks of two machines that share a store differ
│   ├── RootError             a pipeline root belongs to another metadata store
│   └── RolloutError          a version cannot be moved to, or from, a label
├── RunFailedError            one or more nodes failed                      (exit code 1)
├── RetriesUsedUpError        the runs for a trigger failed too often       (exit code 1)
├── NodeError                 one node failed
│   ├── ResolutionError       the inputs of the node could not be resolved
│   ├── InputDataError        the input data is invalid
│   ├── UserCodeError         a user's module or function failed
│   ├── ModelContractError    the model lacks something that the component needs
│   ├── ValidationError       the data does not match the schema
│   ├── RowCountError         the numbers of rows read and written do not add up
│   ├── ArtifactError         an input differs from what its producer published
│   ├── LimitError            the node exceeded its limit of time or memory
│   ├── RunnerError           the remote Beam runner does not answer, or a job failed on it
│   ├── PortabilityError      a Beam function or element cannot be sent to a remote worker
│   ├── WorkerLostError       the node's process, or a worker, died
│   └── StorageError          a file operation failed: disk full, read-only, path missing
├── MetadataError             a call to ML Metadata failed                  (exit code 1)
│   ├── FencedError           another process has taken over this run
│   └── MetadataUnavailableError   no response; whether the write was recorded is unknown
├── ServingError              a model server rejected or failed a request   (exit code 1)
├── NotPushedError            --require-push is set, and nothing was pushed (exit code 3)
└── CancelledError            the user or the system stopped the run        (exit code 130)

Messages say what happened, where, and what to do.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence


class ProdmlError(Exception):
    """Base class of every error that prodml raises on purpose."""

    exit_code = 1


class RequestError(ProdmlError):
    """The request was invalid; nothing ran."""

    exit_code = 2


class DefinitionError(RequestError):
    """The declaration of a pipeline or component is invalid.

    Args:
        message: what is wrong and how to fix it.
        location: `file:line` of the author's code; the message starts with it.
    """

    def __init__(self, message: str, location: str | None = None) -> None:
        super().__init__(f"{location}: {message}" if location else message)
        self.location = location


class ParameterError(RequestError):
    """A runtime parameter is unknown, missing or has the wrong type."""


class ConfigError(RequestError):
    """A configuration file or a PRODML_ variable is invalid."""


class NotFoundError(RequestError):
    """A requested run, artifact or file does not exist."""


class BusyError(RequestError):
    """Another run of the pipeline is in progress; the message says which one, and where."""


class ClaimedError(RequestError):
    """Another process has started the run that a trigger asks for; this one started none."""


class ClockError(RequestError):
    """The clocks of two machines that share a metadata store differ by too much."""


class RootError(RequestError):
    """A pipeline root belongs to another metadata store; nothing in it was changed."""


class RolloutError(RequestError):
    """A version cannot be moved to, or from, a label; the served versions have not changed."""


class NodeError(ProdmlError):
    """One node failed; the message names the cause."""


class ResolutionError(NodeError):
    """The inputs of a node could not be resolved."""


class InputDataError(NodeError):
    """Input data is invalid; the message names the file, the row or the column, and the fix."""


class UserCodeError(NodeError):
    """A user's module cannot be imported, lacks a function, or raised an exception.

    The message names the line of the user's code.
    """


class ModelContractError(NodeError):
    """A model lacks the signature, input or output that a component needs."""


class ValidationError(NodeError):
    """The data does not match the schema, and the node is configured to fail on that."""


class RowCountError(NodeError):
    """The numbers of rows that a node read, wrote and dropped do not add up."""


class ArtifactError(NodeError):
    """An input was changed, damaged or deleted after its producer published it."""


class LimitError(NodeError):
    """A node exceeded its limit of time or memory, and was stopped."""


class WorkerLostError(NodeError):
    """The process of a node, or a worker of its runner, died without an error message."""


class RunnerError(NodeError):
    """The remote Beam runner does not answer, or a job failed on it."""


class PortabilityError(NodeError):
    """A function or an element of a Beam pipeline cannot be pickled or encoded.

    Raised with `runner.check_portability` only; the message names the step and the object.
    """


class StorageError(NodeError):
    """A file operation failed: disk full, read-only, permission denied, or path missing."""


class RunFailedError(ProdmlError):
    """One or more nodes of a run failed.

    Args:
        run_id: id of the run.
        causes: (node id, message) of each failed node, in topological order.
    """

    def __init__(self, run_id: str, causes: Sequence[tuple[str, str]]) -> None:
        lines = "\n".join(f"  {node_id}: {message}" for node_id, message in causes)
        super().__init__(f"run {run_id} failed in {len(causes)} node(s):\n{lines}")
        self.run_id = run_id
        self.causes = tuple(causes)
        self.result: object = None
        """The RunResult; None if the run failed before it had one."""


class RetriesUsedUpError(ProdmlError):
    """A trigger is due, but the runs that it started before have failed too often."""


class MetadataError(ProdmlError):
    """A call to ML Metadata failed."""


class FencedError(MetadataError):
    """Another process has taken over this run; writes of this process are rejected."""


class MetadataUnavailableError(MetadataError):
    """ML Metadata did not respond within the retry budget, or failed after a lost response.

    Whether the call had an effect is unknown.
    """


class ServingError(ProdmlError):
    """A model server rejected a request, or failed to answer it.

    Args:
        code: the canonical name of the status, such as NOT_FOUND, as in gRPC and TensorFlow.
        message: the error message for the client.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NotPushedError(ProdmlError):
    """The run succeeded, but pushed no model although --require-push is set."""

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
    """The StorageError for an OSError; None if the OSError is not about storage."""
    if error.errno not in _STORAGE_ADVICE:
        return None
    return file_operation_error(error)


def file_operation_error(error: OSError, path: str = "") -> StorageError:
    """The StorageError for any OSError of one of prodml's own file operations.

    Args:
        error: the OSError.
        path: path for the message if the OSError has none.
    """
    advice = _STORAGE_ADVICE.get(error.errno or 0)
    if advice is None:
        reason = error.strerror or str(error) or type(error).__name__
        advice = f"{reason}; check the path and its filesystem, then run again"
    where = error.filename or path
    return StorageError(f"{where}: {advice}" if where else advice)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its chain of `__cause__`, outermost first; each error once.

    The chain can be a cycle if code raises an error from itself or from one of its effects.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def causes_and_contexts(error: BaseException) -> Iterator[BaseException]:
    """An error with all its causes, contexts and members of exception groups; each error once."""
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
