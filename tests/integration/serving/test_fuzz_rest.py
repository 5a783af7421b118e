"""No HTTP request, however invalid, harms the server. FUZZ_EXAMPLES sets the number of examples."""

import contextlib
import http.client
import json
import os
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.running_server import RunningServer, running_server, save_mixed

_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
_LARGEST, _GROWTH_MB = 4_000_000, 400
_PREDICT = "/v1/models/mixed:predict"
_GOOD = json.dumps({"instances": [{"x": 1.0, "n": 2, "s": "a"}]}).encode()
_SETTINGS = settings(
    max_examples=_EXAMPLES,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    root = tmp_path_factory.mktemp("fuzz")
    save_mixed(root / "mixed" / "1")
    with running_server(
        root,
        "--model_name=mixed",
        f"--model_base_path={root / 'mixed'}",
        f"--max_request_bytes={_LARGEST}",
        "--rest_api_timeout_in_ms=3000",
        "--drain_seconds=1",
    ) as server:
        yield server


@pytest.fixture
def server(running: RunningServer):
    before = running.resident_mb()
    yield running
    status, body = _ask(running, "POST", _PREDICT, _GOOD)
    assert (status, json.loads(body)["predictions"][0]["total"]) == (200, 3.0)
    assert "Traceback" not in running.output()
    assert running.resident_mb() - before < _GROWTH_MB


def _ask(server, method, path, body=b"", headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=20)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        assert b"Traceback" not in content
        return answer.status, content


def _raw(server, message: bytes) -> bytes:
    """Reads all bytes until the server closes the connection or sends no more."""
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=0.5) as connection:
        connection.sendall(message)
        parts = []
        with contextlib.suppress(OSError):
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts)


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([10**400, {"b64": "!"}, {"b64": 3}, "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["x", "n", "s", "b64", "é"]), inner, max_size=4)
    ),
    max_leaves=12,
)
_bodies = st.dictionaries(
    st.sampled_from(["instances", "inputs", "signature_name", "examples", "context", "extra"]),
    _json,
    max_size=3,
)


@pytest.mark.parametrize("verb", ["predict", "classify", "regress"])
def test_wrong_documents_are_refused_and_none_is_an_internal_error(server, verb):
    @_SETTINGS
    @given(_bodies)
    def send(body):
        status, content = _ask(server, "POST", f"/v1/models/mixed:{verb}", json.dumps(body))
        assert status in (200, 400, 404), (body, content)
        assert status == 200 or set(json.loads(content)) == {"error"}

    send()


def test_random_bodies_are_refused(server):
    @_SETTINGS
    @given(st.binary(max_size=60))
    def send(body):
        assert _ask(server, "POST", _PREDICT, body)[0] == 400

    send()


def test_random_methods_and_paths_are_refused(server):
    @_SETTINGS
    @given(
        st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW"]),
        st.lists(
            st.sampled_from(
                "v1 models mixed versions 1 labels %00 .. :predict %ff metadata ?a=b %2f "
                f"mixed:predict {9**30}".split(" ")
            ),
            max_size=7,
        ),
    )
    def send(method, parts):
        assert _ask(server, method, "/" + "/".join(parts))[0] in (200, 400, 404, 405)

    send()


def test_bytes_that_are_not_http_are_rejected(server):
    @settings(_SETTINGS, max_examples=_EXAMPLES // 3)
    @given(st.binary(min_size=1, max_size=80))
    def send(message):
        answer = _raw(server, message + b"\r\n\r\n")
        assert b"Traceback" not in answer
        assert not answer or answer.startswith(b"HTTP/1.")

    send()


def test_deeply_nested_lists_are_refused(server):
    for depth in (1000, 100_000):
        body = b'{"instances": ' + b"[" * depth + b"]" * depth + b"}"
        assert _ask(server, "POST", _PREDICT, body)[0] == 400


def test_a_body_above_the_limit_is_refused(server):
    body = b'{"instances": [' + b"1," * (_LARGEST // 2) + b"1]}"
    with contextlib.suppress(ConnectionError):
        assert _ask(server, "POST", _PREDICT, body)[0] in (400, 413)


def test_a_wrong_length_and_a_strange_encoding_are_refused(server):
    start = f"POST {_PREDICT} HTTP/1.1\r\nHost: a\r\n".encode()
    for head in (
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"Content-Length: 99999999999999999999\r\n\r\n",
        b"A: " + b"b" * 100_000 + b"\r\n\r\n",
        b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
    ):
        answer = _raw(server, start + head)
        assert not answer.startswith(b"HTTP/1.1 200")
        assert not answer.startswith(b"HTTP/1.1 500")


def test_pipelined_requests_are_answered_in_order(server):
    request = f"POST {_PREDICT} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(_GOOD)}\r\n\r\n"
    answers = _raw(server, (request.encode() + _GOOD) * 20)
    assert answers.count(b"HTTP/1.1 200") == 20


def test_incomplete_requests_and_slow_clients_do_not_delay_others(server):
    unfinished = f"POST {_PREDICT} HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\n{{".encode()
    with contextlib.ExitStack() as stack:
        for head in (b"POST ", b"POST / HTTP/1.1\r\nHost", None):
            for _ in range(30):
                connection = stack.enter_context(
                    socket.create_connection(("127.0.0.1", server.rest_port), timeout=10)
                )
                connection.sendall(head or unfinished)
        assert _ask(server, "POST", _PREDICT, _GOOD)[0] == 200
        # The last request announces the length of its body, but does not send the body.
        assert connection.recv(100).startswith((b"HTTP/1.1 504", b"HTTP/1.1 408"))
