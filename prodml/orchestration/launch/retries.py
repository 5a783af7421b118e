"""Decides which failures of a node are retried."""

from __future__ import annotations

import errno
from typing import Any

from prodml.errors import ServingError, WorkerLostError, causes

_TRANSIENT_ERRNOS = frozenset(
    {
        errno.EIO,
        errno.EREMOTEIO,
        errno.EAGAIN,
        errno.EBUSY,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENETRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    }
)
_TRANSIENT_CODES = frozenset({"UNAVAILABLE", "ABORTED"})
_TENSORFLOW_CODES = frozenset({14, 10})
"""UNAVAILABLE and ABORTED."""

_TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 509})
"""HTTP status codes: timeouts, too early, too many requests, and errors of the server."""

_TRANSIENT_AWS_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "InternalError",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttled",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
"""Some have HTTP status 400. The list is from botocore's own retries, `_retry.json`."""

_TRANSIENT_CLASSES = frozenset(
    {
        "aiohttp.client_exceptions.ClientConnectionError",
        "aiohttp.client_exceptions.ClientPayloadError",
        "botocore.exceptions.ConnectionError",
        "botocore.exceptions.HTTPClientError",
        "botocore.exceptions.IncompleteReadError",
        "botocore.exceptions.ResponseStreamingError",
        "google.api_core.exceptions.RetryError",
        "http.client.IncompleteRead",
        "httpx.TransportError",
        "requests.exceptions.ChunkedEncodingError",
        "requests.exceptions.ConnectionError",
        "requests.exceptions.Timeout",
        "urllib3.exceptions.ProtocolError",
        "urllib3.exceptions.TimeoutError",
    }
)
"""Errors of HTTP clients for lost and refused connections that are not OSErrors. Listed by name, so
that no client is imported."""

_HTTP_CLIENTS = frozenset(
    {
        "aiobotocore",
        "aiohttp",
        "azure",
        "botocore",
        "gcsfs",
        "google",
        "httpx",
        "requests",
        "urllib",
    }
)


def is_transient(error: BaseException) -> bool:
    """Whether a retry may succeed.

    True for lost connections, I/O errors, lost workers, throttling and unavailable servers, also if
    another error was raised from one of these. The class, error number and status decide, never the
    text of a message. All other errors, such as those in code, data or configuration, would only
    occur again.

    If a server responded, its response decides, because clients wrap all responses in an OSError.
    """
    chain = list(causes(error))
    for each in chain:
        answer = _answer(each)
        if answer is not None:
            return answer
    return any(_is_transient_itself(each) for each in chain)


def _answer(error: BaseException) -> bool | None:
    """Whether an HTTP response allows a retry; None if the error contains no response."""
    if type(error).__module__.partition(".")[0] not in _HTTP_CLIENTS:
        return None
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        if response.get("Error", {}).get("Code") in _TRANSIENT_AWS_CODES:
            return True
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        places = ((response, "status_code"), (error, "status"), (error, "status_code"))
        found = [getattr(where, name, None) for where, name in (*places, (error, "code"))]
        status = next((each for each in found if isinstance(each, int)), None)
    return None if status is None else status in _TRANSIENT_STATUSES


def _is_transient_itself(error: BaseException) -> bool:
    if isinstance(error, WorkerLostError | ConnectionError | TimeoutError):
        return True
    if isinstance(error, ServingError):
        return error.code in _TRANSIENT_CODES
    if any(f"{c.__module__}.{c.__qualname__}" in _TRANSIENT_CLASSES for c in type(error).__mro__):
        return True
    if isinstance(error, OSError):
        return error.errno in _TRANSIENT_ERRNOS
    if type(error).__module__.startswith("tensorflow."):
        return getattr(error, "error_code", None) in _TENSORFLOW_CODES
    if type(error).__module__.startswith("grpc."):
        code = getattr(error, "code", None)
        return callable(code) and getattr(code(), "name", "") in _TRANSIENT_CODES
    return False
