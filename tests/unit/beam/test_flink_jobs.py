"""A job is cancelled by Flink's REST API, which the job server of Beam does not do."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from prodml.beam.flink_jobs import cancel_flink_job


class Flink(ThreadingHTTPServer):
    """The two calls of Flink's REST API, with the states of jobs by id and name."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Calls)
        self.jobs = {"1": ["BeamApp-a", "RUNNING"], "2": ["BeamApp-b", "RUNNING"]}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Calls(BaseHTTPRequestHandler):
    server: Flink

    def do_GET(self) -> None:
        jobs = [{"jid": i, "name": n, "state": s} for i, (n, s) in self.server.jobs.items()]
        self.answer(200, {"jobs": jobs})

    def do_PATCH(self) -> None:
        path, _, query = self.path.partition("?")
        assert query == "mode=cancel"
        self.server.jobs[path.rpartition("/")[2]][1] = "CANCELED"
        self.answer(202, {})

    def answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def flink() -> Iterator[Flink]:
    with Flink() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_only_the_job_of_that_name_is_cancelled(flink: Flink) -> None:
    cancel_flink_job(flink.url, "BeamApp-a_a84186fd-5133-4ff5-8047-329f8b778c58")
    assert dict(flink.jobs.values()) == {
        "BeamApp-a": "CANCELED",
        "BeamApp-b": "RUNNING",
    }


def test_a_job_that_is_still_being_submitted_is_waited_for(flink: Flink) -> None:
    submitted = flink.jobs.pop("1")
    late = threading.Timer(0.5, flink.jobs.update, [{"3": submitted}])
    late.start()
    cancel_flink_job(flink.url, "BeamApp-a_1")
    late.join()
    assert flink.jobs["3"] == ["BeamApp-a", "CANCELED"]


def test_an_unreachable_rest_api_is_an_error() -> None:
    with pytest.raises(httpx.ConnectError):
        cancel_flink_job("http://127.0.0.1:1", "BeamApp-a_1")
