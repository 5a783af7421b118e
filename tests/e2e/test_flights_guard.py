"""A failing ExampleValidator in the flights pipeline, run by the command line."""

import os
import subprocess
import sys
from pathlib import Path

from support import warm

ROOT = Path(__file__).parents[2]
IMPOSSIBLE = """
        custom_validation_config={
            "featureValidations": [
                {
                    "featurePath": {"step": ["distance"]},
                    "validations": [
                        {"sqlExpression": "feature.num_stats.max < 0", "severity": "ERROR"}
                    ],
                }
            ]
        },
"""


def prodml(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return warm.run(
        [sys.executable, "-m", "prodml", *arguments, "--param", "data_root=data"],
        libraries=warm.TENSORFLOW,
        cwd=directory,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_a_failing_validator_stops_training_and_pushing(tmp_path: Path) -> None:
    prepare = ROOT / "examples" / "flights" / "prepare.py"
    whole = tmp_path / "whole"
    warm.run(
        [sys.executable, prepare, "--output", whole, "--months", "1"],
        check=True,
        capture_output=True,
    )
    header, *rows = (whole / "span-01" / "flights.csv").read_text().splitlines(keepends=True)
    (tmp_path / "data" / "span-01").mkdir(parents=True)
    (tmp_path / "data" / "span-01" / "flights.csv").write_text("".join([header, *rows[::20]]))
    text = (ROOT / "pipelines" / "flights.py").read_text()
    strict = text.replace(
        'schema=schema, fail_on="ERROR"', f'schema=schema, fail_on="ERROR",{IMPOSSIBLE}'
    )
    module = ROOT / "examples" / "flights" / "flights_utils.py"
    strict = strict.replace(
        'str(Path(__file__).parents[1] / "examples" / "flights" / "flights_utils.py")',
        repr(str(module)),
    )
    assert IMPOSSIBLE in strict and repr(str(module)) in strict
    (tmp_path / "flights.py").write_text(strict)

    planned = prodml(tmp_path, "plan", "flights.py").stdout
    assert "waits for ExampleValidator, which guards CsvExampleGen.examples" in planned
    assert "runs only if nothing in the run fails" in planned

    ran = prodml(tmp_path, "run", "flights.py", "--require-push")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "feature.num_stats.max < 0" in ran.stderr
    why = "ExampleValidator failed, and guards CsvExampleGen.examples"
    assert f"Transform skipped in 0.0 s: {why}" in ran.stdout
    for node in ("Trainer", "Evaluator", "InfraValidator", "Pusher"):
        assert f"{node} skipped" in ran.stdout
    assert not (tmp_path / ".prodml" / "serving").exists()
