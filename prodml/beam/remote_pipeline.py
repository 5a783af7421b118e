"""A pipeline on a remote runner, whose errors are as short and as clear as those of local ones."""

from __future__ import annotations

import contextlib
import logging
import re
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import FlinkRunnerOptions

from prodml.beam.flink_jobs import cancel_flink_job
from prodml.beam.user_modules import user_modules_by_value
from prodml.errors import RunnerError

_LOGGER = logging.getLogger(__name__)

_FAILED = re.compile(
    r"Pipeline (?P<job>\S+) failed in state (?P<state>\w+): (?P<cause>.*)", re.DOTALL
)
_JAVA_CLASS = re.compile(r"^(?:[\w$]+\.)+[\w$]+(?:Exception|Error): ")
_UNREACHABLE = ("finishConnect", "UnknownHostException", "Unable to resolve host")


class RemotePipeline(beam.Pipeline):  # type: ignore[misc]  # Beam ships no types
    """A pipeline of a remote runner, to be used as a context manager.

    What user modules define travels to the workers with the job. If the job fails, Beam raises a
    RuntimeError with the traceback of the worker, often of a hundred lines. It stays chained, and
    so is written to the node's log. If the wait for the job is interrupted, the job is cancelled.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.result: Any = None

    def __enter__(self) -> Any:
        self._until_exit = contextlib.ExitStack()
        self._until_exit.enter_context(user_modules_by_value())
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        try:
            with self._until_exit:
                super().__exit__(*raised)
        except RuntimeError as error:
            failure = _FAILED.fullmatch(str(error))
            if failure is None:
                self._cancel()
                raise
            raise RunnerError(self._explain(failure)) from error
        except BaseException:
            self._cancel()
            raise

    def _cancel(self) -> None:
        """Cancels the job, which would otherwise continue to write when nobody waits for it."""
        if self.result is None:
            return
        try:
            self.result.cancel()
            master = self._options.view_as(FlinkRunnerOptions).flink_master
            if master.startswith("http"):
                cancel_flink_job(master, self.result._job_id)
        except Exception:
            _LOGGER.exception("the job may still be running: it could not be cancelled")

    def _explain(self, failure: re.Match[str]) -> str:
        cause = failure["cause"]
        message = f"job {failure['job']} ended in state {failure['state']}: {_summary(cause)}"
        if any(sign in cause for sign in _UNREACHABLE):
            message += (
                "; check that a pool of Python workers runs where runner.options.environment_config"
                " says, as seen from each task manager"
            )
        return f"{message}; the whole message is in the node's log"


def _summary(cause: str) -> str:
    """The last line of a Python traceback, or the text of a Java exception without its classes."""
    _, traceback, text = cause.rpartition("Traceback (most recent call last):\n")
    lines = [line for line in text.splitlines() if line.strip()]
    if traceback:
        return next((line for line in lines if not line.startswith(" ")), "no message")
    text = lines[0] if lines else "no message"
    while found := _JAVA_CLASS.match(text):
        text = text[found.end() :]
    return text
