"""The error of a failed remote job is one line that names the cause."""

import apache_beam as beam
import pytest
from apache_beam.runners.runner import PipelineResult, PipelineRunner

from prodml.beam.remote_pipeline import RemotePipeline
from prodml.errors import RunnerError

TRACEBACK = """java.lang.RuntimeException: Error received from SDK harness for instruction 1: \
Traceback (most recent call last):
  File "sdk_worker.py", line 316, in _execute
    response = task()
KeyError: 1

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "flights_utils.py", line 3, in preprocessing_fn
    raise ValueError("no airport")
ValueError: no airport [while running 'Transform']

\tat org.apache.beam.runners.fnexecution.control.FnApiControlClient$ResponseStreamObserver
"""
REFUSED = (
    "java.net.ConnectException: java.net.ConnectException: finishConnect(..) failed: Connection"
    " refused"
)


class Failing(PipelineRunner):
    """Fails as the PipelineResult of Beam's PortableRunner does."""

    def __init__(self, message: str) -> None:
        self._message = message

    def run_pipeline(self, pipeline: object, options: object) -> object:
        raise RuntimeError(self._message)


def error_of(message: str) -> str:
    with pytest.raises(RunnerError) as caught, RemotePipeline(Failing(message)) as pipeline:
        _ = pipeline | beam.Impulse()
    assert isinstance(caught.value.__cause__, RuntimeError)
    return str(caught.value)


def test_the_last_python_error_is_the_cause() -> None:
    assert error_of(f"Pipeline job-1 failed in state FAILED: {TRACEBACK}") == (
        "job job-1 ended in state FAILED: ValueError: no airport [while running 'Transform'];"
        " the whole message is in the node's log"
    )


def test_a_java_error_is_shown_without_its_classes() -> None:
    message = error_of(f"Pipeline job-1 failed in state FAILED: {REFUSED}")
    assert message.startswith(
        "job job-1 ended in state FAILED: finishConnect(..) failed: Connection refused; check that"
        " a pool of Python workers runs where runner.options.environment_config says"
    )


def test_a_cancelled_job_has_its_state() -> None:
    message = error_of("Pipeline job-1 failed in state CANCELLED: ")
    assert message.startswith("job job-1 ended in state CANCELLED: no message;")


def test_other_errors_pass_unchanged() -> None:
    with (
        pytest.raises(RuntimeError, match="no space"),
        RemotePipeline(Failing("no space")) as pipeline,
    ):
        _ = pipeline | beam.Impulse()


class Interrupted(PipelineRunner, PipelineResult):
    """A job whose wait is interrupted by the user."""

    def __init__(self) -> None:
        self.is_cancelled = False

    def run_pipeline(self, pipeline: object, options: object) -> PipelineResult:
        return self

    def wait_until_finish(self, duration: int | None = None) -> None:
        raise KeyboardInterrupt

    def cancel(self) -> None:
        self.is_cancelled = True


def test_a_job_is_cancelled_if_the_user_interrupts_the_wait() -> None:
    job = Interrupted()
    with pytest.raises(KeyboardInterrupt), RemotePipeline(job) as pipeline:
        _ = pipeline | beam.Impulse()
    assert job.is_cancelled


def test_a_pipeline_whose_construction_fails_has_no_job_to_cancel() -> None:
    with pytest.raises(ValueError, match="no files"), RemotePipeline(Failing("")):
        raise ValueError("no files")
