"""How the failure of a node is told: to ML Metadata, to events and to a person."""

from __future__ import annotations

from prodml.dsl.user_code import describe_error
from prodml.errors import ProdmlError, causes_and_contexts, storage_error
from prodml.secrets import redact


def failure_message(error: BaseException, log: str) -> str:
    """What happened and what to do; secrets that were revealed are hidden.

    Args:
        log: file with what the node printed.
    """
    if isinstance(error, OSError) and (refused := storage_error(error)) is not None:
        error = refused
    if isinstance(error, ProdmlError):
        return redact(str(error))
    return redact(f"{describe_error(error)}; the full output is in {log}")


def was_interrupted(error: BaseException) -> bool:
    """Whether Ctrl-C or SIGTERM is behind an error: Beam and user code wrap what they catch."""
    return any(isinstance(each, KeyboardInterrupt) for each in causes_and_contexts(error))
