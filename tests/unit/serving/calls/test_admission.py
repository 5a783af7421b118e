from __future__ import annotations

import pytest

from prodml.errors import ServingError
from prodml.serving.calls.admission import Admission


def test_requests_above_the_limit_are_rejected_until_one_ends():
    admission = Admission(max_requests=2, max_bytes=100)
    with admission.request():
        with admission.request(), pytest.raises(ServingError, match="2 requests are running"):
            admission.request()
        with admission.request():
            pass


def test_bytes_of_all_requests_together_are_limited():
    admission = Admission(max_requests=10, max_bytes=100)
    with admission.request() as first, admission.request() as second:
        first.hold(60)
        with pytest.raises(ServingError, match="60 bytes are running or waiting already") as caught:
            second.hold(50)
        assert caught.value.code == "RESOURCE_EXHAUSTED"
        second.hold(40)
    with admission.request() as third:
        third.hold(100)


def test_a_failed_request_releases_its_admission_and_its_bytes():
    admission = Admission(max_requests=1, max_bytes=10)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), admission.request() as place:
            place.hold(10)
            raise ZeroDivisionError


def test_a_growing_request_holds_its_current_size():
    admission = Admission(max_requests=2, max_bytes=100)
    with admission.request() as first, admission.request() as second:
        first.hold(10)
        first.hold_at_least(5)
        second.hold(90)
        with pytest.raises(ServingError, match="100 bytes are running"):
            first.hold_at_least(11)
    with admission.request() as third:
        third.hold_at_least(100)


def test_arriving_requests_hold_at_most_half_of_the_bytes_in_a_budget_of_their_own():
    admission = Admission(max_requests=1, max_bytes=1_000_000)
    with admission.arriving() as first, admission.arriving() as second:
        first.expect(900_000)
        first.hold(400_000)
        second.hold(60_000)
        with pytest.raises(ServingError, match="400000 bytes are arriving already") as caught:
            second.expect(100_001)
        assert caught.value.code == "RESOURCE_EXHAUSTED"
        second.hold(100_000)
        with pytest.raises(ServingError, match="100000 bytes are arriving already"):
            first.hold(400_001)
        with admission.request() as third:
            third.hold(1_000_000)
    with admission.arriving() as alone:
        alone.hold(1_000_000)
