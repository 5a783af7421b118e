"""What `prodml schedule` refuses before it starts."""

from pathlib import Path

import pytest

from prodml.cli.schedule import schedule
from prodml.errors import ConfigError, ParameterError, RequestError

PIPELINE = """
from prodml import Output, component, pipeline
from prodml.artifacts import Model

@component
def Train(model: Output[Model]):
    pass

@pipeline(name="small")
def small(steps: int = 1):
    Train()
"""
SCHEDULE = "retrain: {older_than_days: 7, schedule: {cron: '%s', timezone: %s}}"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("retrain: {older_than_days: 7}", "no schedule is declared"),
        ("retrain: {schedule: {cron: '0 3 * * *', timezone: UTC}}", "no trigger is declared"),
        (SCHEDULE % ("0 3 * *", "UTC"), "needs five fields"),
        (SCHEDULE % ("0 3 * * *", "Mars/Olympus"), "unknown time zone 'Mars/Olympus'"),
    ],
)
def test_a_configuration_that_could_never_start_a_run_is_refused(
    tmp_path: Path, config: str, message: str
) -> None:
    (tmp_path / "config.yaml").write_text(config)
    (tmp_path / "small.py").write_text(PIPELINE)
    with pytest.raises(ConfigError, match=message):
        schedule([f"{tmp_path / 'small.py'}={tmp_path / 'config.yaml'}"])


def test_a_pipeline_that_does_not_compile_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("params: {step: 2}\n" + SCHEDULE % ("0 3 * * *", "UTC"))
    (tmp_path / "small.py").write_text(PIPELINE)
    with pytest.raises(ParameterError, match="no parameter 'step'; did you mean 'steps'"):
        schedule([f"{tmp_path / 'small.py'}={tmp_path / 'config.yaml'}"])


def test_an_argument_without_a_configuration_is_refused() -> None:
    with pytest.raises(RequestError, match=r"'small.py': write PIPELINE.py=CONFIG.yaml"):
        schedule(["small.py"])
