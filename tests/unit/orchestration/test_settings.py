import pickle
import subprocess
import sys

import pytest

from prodml.metadata.connection import MySqlConnection
from prodml.orchestration.settings import NodeLimits, OpenLineage, RunSettings
from prodml.secrets import Secret


def test_settings_are_declared_without_importing_pydantic() -> None:
    code = "import sys, prodml.orchestration.settings; print('pydantic' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


def test_the_settings_of_a_run_can_be_sent_to_other_processes() -> None:
    settings = RunSettings(
        MySqlConnection("db.example", password=Secret("env:PASSWORD")),
        "artifacts",
        "logs",
        limits={"Trainer": NodeLimits(timeout_seconds=60, memory=1 << 30)},
    )
    assert pickle.loads(pickle.dumps(settings)) == settings


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"transport": "file", "url": "http://h"}, "transport file uses path"),
        ({"transport": "http", "path": "events.jsonl"}, "transport http needs a url"),
        ({"transport": "http", "url": "ftp://h"}, "url: expected http://host:port"),
        ({"transport": "http", "url": "http://me:c4n4ry@h"}, "no name or password allowed"),
    ],
)
def test_a_destination_that_contradicts_its_transport_is_refused(
    place: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        OpenLineage(**place)  # type: ignore[arg-type]
    assert "c4n4ry" not in str(caught.value)
