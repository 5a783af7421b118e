"""Numbers out of range are refused like any other invalid argument."""

import pytest
from typer.testing import CliRunner

from prodml.cli.main import app


@pytest.mark.parametrize("number", ["0", "-1", "99999999999999999999", "seven"])
@pytest.mark.parametrize(
    "command",
    [
        ["lineage", "--"],
        ["baseline", "set", "--pipeline", "p", "--why", "better", "--"],
        ["runs", "--limit"],
        ["artifacts", "--limit"],
    ],
    ids=lambda command: command[0],
)
def test_a_number_out_of_range_exits_with_2(command: list[str], number: str) -> None:
    answer = CliRunner().invoke(app, [*command, number])
    assert answer.exit_code == 2
    assert "Invalid value for" in answer.output
