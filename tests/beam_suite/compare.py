"""Runs Beam's own tests, which its wheel contains, on the local runner and on FnApiRunner.

A test that passes on FnApiRunner only is a difference. Each difference must be listed in
`differences.yaml` with its reason; else this program ends with exit code 1.

    python tests/beam_suite/compare.py                      # half an hour on two cores
    python tests/beam_suite/compare.py transforms/core_test.py pipeline_test.py
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree

import yaml

HERE = Path(__file__).parent
BEAM = Path(str(files("apache_beam")))
MODULES = (
    "transforms/*_test.py",
    "pipeline_test.py",
    "io/*_test.py",
    "runners/portability/fn_api_runner/fn_runner_test.py",
)
LEFT_OUT = (
    "_it_test.py",  # need services
    "_perf_test.py",  # need services
    "async_dofn_test.py",  # sleeps for minutes, and runs no pipeline
)


@dataclass(frozen=True)
class Comparison:
    """Names of tests, by the runners on which they passed.

    Attributes:
        both: passed on both.
        only_local: passed on the local runner only.
        only_beam: passed on FnApiRunner only.
        neither: failed on both.
    """

    both: frozenset[str]
    only_local: frozenset[str]
    only_beam: frozenset[str]
    neither: frozenset[str]


def modules() -> list[str]:
    """The modules of Beam's tests, by their path in the package."""
    found = [file for pattern in MODULES for file in sorted(BEAM.glob(pattern))]
    return [str(file.relative_to(BEAM)) for file in found if not file.name.endswith(LEFT_OUT)]


def results(runner: str, chosen: Sequence[str], build: Path, workers: int) -> dict[str, bool]:
    """Runs modules on a runner; whether each test that was not skipped has passed.

    Args:
        runner: `local` or `beam`.
        chosen: modules, by their path in Beam's package.
        build: directory for reports; the tests write their own files below it, too.
        workers: number of processes.

    Raises:
        RuntimeError: pytest could not run the tests; the message has its last lines.
    """
    working = build / runner
    working.mkdir(parents=True, exist_ok=True)
    report = working / "report.xml"
    report.unlink(missing_ok=True)
    (working / "pytest.ini").write_text("[pytest]\n")
    command = [
        *(sys.executable, "-m", "pytest", "-c", "pytest.ini", "-v", "--tb=short"),
        f"--rootdir={BEAM.parent}",
        *("-p", "beam_suite.runner_under_test", "--runner-under-test", runner),
        *("-p", "no:cacheprovider", "--durations=20", "-n", str(workers), "--dist", "loadfile"),
        f"--junit-xml={report}",
        *(str(BEAM / module) for module in chosen),
    ]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    with open(working / "output.txt", "w") as output:
        subprocess.run(
            command, cwd=working, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    if not report.exists():
        lines = (working / "output.txt").read_text().splitlines()[-20:]
        raise RuntimeError(f"pytest made no report of {runner}:\n" + "\n".join(lines))
    return dict(_outcomes(report))


def _outcomes(report: Path) -> Iterator[tuple[str, bool]]:
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("skipped") is None:
            name = f"{case.get('classname')}.{case.get('name')}".removeprefix("apache_beam.")
            yield name, case.find("failure") is None and case.find("error") is None


def compare(local: dict[str, bool], beam: dict[str, bool]) -> Comparison:
    """Puts the tests that ran on either runner into four groups."""
    passed_local = {name for name, passed in local.items() if passed}
    passed_beam = {name for name, passed in beam.items() if passed}
    return Comparison(
        both=frozenset(passed_local & passed_beam),
        only_local=frozenset(passed_local - passed_beam),
        only_beam=frozenset(passed_beam - passed_local),
        neither=frozenset((local.keys() | beam.keys()) - passed_local - passed_beam),
    )


def reasons() -> dict[str, str]:
    """Why a test passes on FnApiRunner only, by its name."""
    groups = yaml.safe_load((HERE / "differences.yaml").read_text())
    return {test: group["reason"] for group in groups for test in group["tests"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", help="paths in apache_beam; all by default")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--build", type=Path, default=Path("build/beam-tests"))
    given = parser.parse_args()
    chosen = given.modules or modules()
    build = given.build.resolve()
    local, beam = (results(runner, chosen, build, given.workers) for runner in ("local", "beam"))
    found = compare(local, beam)
    known = reasons()
    print(f"passed on both runners: {len(found.both)}")
    print(f"failed on both runners: {len(found.neither)}")
    _print_names("passed on the local runner only", found.only_local)
    _print_names("passed on FnApiRunner only, for a known reason", found.only_beam & known.keys())
    unknown = found.only_beam - known.keys()
    _print_names("passed on FnApiRunner only, for no known reason", unknown)
    _print_names("listed in differences.yaml, and passed", found.both & known.keys())
    print(f"output of the tests: {build}/local/output.txt and {build}/beam/output.txt")
    return 1 if unknown or not found.both else 0


def _print_names(title: str, names: frozenset[str]) -> None:
    print(f"{title}: {len(names)}")
    for name in sorted(names):
        print(f"  {name}")


if __name__ == "__main__":
    sys.exit(main())
