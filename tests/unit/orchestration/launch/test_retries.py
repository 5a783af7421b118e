"""Which errors are worth a retry: by class and status, never by the text of a message."""

import errno
import subprocess
import sys
import urllib.error
from email.message import Message

import aiohttp
import botocore.exceptions
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodml.errors import NodeError, ServingError, StorageError, causes, causes_and_contexts
from prodml.orchestration.launch.failures import was_interrupted
from prodml.orchestration.launch.retries import is_transient


def aws(code: str, status: int) -> botocore.exceptions.ClientError:
    response = {
        "Error": {"Code": code, "Message": "team-500-models/503 cannot be read"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return botocore.exceptions.ClientError(response, "GetObject")  # type: ignore[arg-type]


def chained(outer: Exception, cause: BaseException) -> Exception:
    outer.__cause__ = cause
    return outer


def http(status: int) -> httpx.HTTPStatusError:
    request = httpx.Request("GET", "http://localhost/500")
    return httpx.HTTPStatusError("500", request=request, response=httpx.Response(status))


@pytest.mark.parametrize(
    "error",
    [
        aws("Throttling", 400),
        aws("RequestTimeout", 400),
        aws("ServiceUnavailable", 503),
        aws("SlowDown", 503),
        aws("Whatever", 500),
        botocore.exceptions.EndpointConnectionError(endpoint_url="http://localhost"),
        botocore.exceptions.ReadTimeoutError(endpoint_url="http://localhost"),
        aiohttp.ServerDisconnectedError(),
        httpx.ConnectTimeout("slow"),
        http(503),
        http(429),
        urllib.error.HTTPError("http://localhost", 502, "bad gateway", Message(), None),
        OSError(errno.EIO, "input/output error"),
        OSError(errno.EREMOTEIO, "internal error"),
        ConnectionResetError(),
        ServingError("UNAVAILABLE", "starting"),
    ],
)
def test_a_transient_failure_is_retried(error: Exception) -> None:
    assert is_transient(error)
    assert is_transient(chained(StorageError("s3://bucket/x"), error))


@pytest.mark.parametrize(
    "error",
    [
        aws("AccessDenied", 403),
        aws("NoSuchKey", 404),
        aws("InvalidArgument", 400),
        http(404),
        http(501),
        urllib.error.HTTPError("http://localhost", 403, "no", Message(), None),
        OSError(errno.ENOENT, "no such file: team-500-models"),
        ValueError("HTTP 503 Service Unavailable"),
        StorageError("s3://team-500-models/503/SlowDown: InternalError"),
        ServingError("NOT_FOUND", "503"),
    ],
)
def test_a_permanent_failure_is_not_retried(error: Exception) -> None:
    assert not is_transient(error)
    # s3fs makes an EIO of every answer that it does not know.
    if not isinstance(error, OSError | StorageError | ValueError | ServingError):
        assert not is_transient(chained(OSError(errno.EIO, "unknown"), error))


def test_an_error_that_is_its_own_cause_is_walked_once() -> None:
    error = OSError(errno.ENOTDIR, "not a directory")
    error.__cause__ = error
    assert list(causes(error)) == [error]
    assert not is_transient(error) and not was_interrupted(error)


@given(st.lists(st.integers(0, 5), min_size=6, max_size=6), st.lists(st.integers(0, 5), min_size=6))
def test_walks_end_however_errors_are_linked(cause: list[int], context: list[int]) -> None:
    errors = [NodeError(str(number)) for number in range(6)]
    for number, error in enumerate(errors):
        error.__cause__ = errors[cause[number]]
        error.__context__ = errors[context[number]]
    for walk in (causes, causes_and_contexts):
        found = list(walk(errors[0]))
        assert len(found) == len(set(map(id, found))) <= 6
    assert not is_transient(errors[0]) and not was_interrupted(errors[0])


def test_an_interrupt_in_a_group_or_in_a_context_is_found() -> None:
    group = BaseExceptionGroup("several", [ValueError(), KeyboardInterrupt()])
    wrapped = chained(RuntimeError("from Beam"), group)
    assert was_interrupted(wrapped)
    handled = RuntimeError("while it was handled")
    handled.__context__ = wrapped
    assert was_interrupted(handled)


def test_no_http_client_is_imported_to_decide() -> None:
    code = (
        "import sys; from prodml.orchestration.launch import retries;"
        "retries.is_transient(OSError());"
        "print([m for m in ('botocore', 'aiohttp', 'httpx', 'requests') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
