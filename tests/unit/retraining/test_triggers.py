"""The section `retrain` of a configuration."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from prodml.config import load_config
from prodml.errors import ConfigError
from prodml.retraining.triggers import CronSchedule, Triggers


def loaded(tmp_path: Path, retrain: Any) -> Triggers:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"retrain": retrain}))
    return load_config(str(tmp_path / "config.yaml"), {}).retrain


def test_every_trigger_can_be_declared(tmp_path: Path) -> None:
    section = {
        "new_span": True,
        "older_than_days": 7,
        "rows_since": 1000,
        "schema_changed": True,
        "drift": {"distance": 0.1},
        "performance_below": {"auc": 0.7},
        "monitored_by": "flights-monitoring",
        "max_attempts": 5,
        "schedule": {"cron": "15 3 * * *", "timezone": "Europe/Berlin"},
    }
    triggers = loaded(tmp_path, section)
    assert triggers == Triggers(
        True,
        7,
        1000,
        True,
        {"distance": 0.1},
        {"auc": 0.7},
        "flights-monitoring",
        5,
        CronSchedule("15 3 * * *", "Europe/Berlin"),
    )


@pytest.mark.parametrize(
    ("retrain", "are_declared"),
    [
        ({}, False),
        ({"schedule": {"cron": "15 3 * * *", "timezone": "UTC"}}, False),
        ({"new_span": False}, False),
        ({"new_span": True}, True),
        ({"performance_below": {"auc": 0.0}}, True),
    ],
)
def test_a_schedule_is_not_a_trigger(tmp_path: Path, retrain: Any, are_declared: bool) -> None:
    assert loaded(tmp_path, retrain).are_declared is are_declared


@pytest.mark.parametrize(
    ("retrain", "message"),
    [
        ({"new_spam": True}, "unknown key 'retrain.new_spam'; did you mean 'new_span'?"),
        ({"schedule": {"cron": "", "zone": ""}}, "unknown key 'retrain.schedule.zone'; did you me"),
        ({"older_than_days": -1}, "retrain.older_than_days: Input should be greater than 0"),
        ({"drift": {"distance": 2}}, "retrain.drift.distance: Input should be less than 1"),
        ({"performance_below": {"auc": "high"}}, "retrain.performance_below.auc"),
        ({"schedule": {"cron": "* * * * *"}}, "retrain.schedule.timezone: Field required"),
    ],
)
def test_a_wrong_section_is_refused(tmp_path: Path, retrain: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        loaded(tmp_path, retrain)
