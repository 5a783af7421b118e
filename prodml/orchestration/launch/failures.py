"""Messages about failures of nodes, for ML Metadata, events and the user."""

from __future__ import annotations

from prodml.dsl.user_code import describe_error
from prodml.errors import ProdmlError, causes_and_contexts, storage_error
from prodml.secrets import redact


def failure_message(error: BaseException, log: str) -> str:
    """Describes a failure and what to do; revealed secrets are redacted.

    Args:
        log: file with the node's output.
    """
    if isinstance(error, OSError) and (refused := storage_error(error)) is not None:
        error = refused
    if isinstance(error, ProdmlError):
        return redact(str(error))
    return redact(f"{describe_error(error)}; the full output is in {log}")


def was_interrupted(error: BaseException) -> bool:
    """Whether Ctrl-C or SIGTERM caused an error, also if Beam or user code wrapped it."""
    return any(isinstance(each, KeyboardInterrupt) for each in causes_and_contexts(error))
