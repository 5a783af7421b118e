"""Which runner a profile opens, and when FnApiRunner replaces the local runner."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import apache_beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from prodml.beam.local_runner import LocalRunner
from prodml.beam.profiles import RunnerProfile
from prodml.beam.reflection import TESTED_BEAM, is_tested_beam

ROOT = Path(__file__).parents[3]


@pytest.fixture
def other_beam(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(apache_beam, "__version__", "2.99.0")
    is_tested_beam.cache_clear()
    yield
    is_tested_beam.cache_clear()


def test_the_local_runner_is_the_default() -> None:
    assert type(RunnerProfile().pipeline().runner) is LocalRunner


def test_options_ask_for_beams_own_runner() -> None:
    profile = RunnerProfile(options={"direct_num_workers": 1})
    assert type(profile.pipeline().runner) is FnApiRunner


@pytest.mark.usefixtures("other_beam")
def test_another_version_of_beam_uses_fnapirunner_with_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "prodml.beam"):
        runners = [type(RunnerProfile().pipeline().runner) for _ in range(2)]
    assert runners == [FnApiRunner, FnApiRunner]
    [message] = caplog.messages
    assert "Apache Beam is 2.99.0" in message
    assert f"Install apache-beam=={TESTED_BEAM}" in message


def test_the_tested_beam_is_the_pinned_one() -> None:
    pinned = re.findall(r'"apache-beam==([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert set(pinned) == {TESTED_BEAM}
