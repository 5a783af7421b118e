"""The options of a configuration are checked against those that Beam declares."""

from pathlib import Path
from typing import Any

import pytest
from support.beam_options import python_groups, record, recorded

from prodml.beam.profiles import RunnerProfile
from prodml.beam.runner_options import RUNNERS, flags, option_problem
from prodml.config import load_config
from prodml.errors import ConfigError, RunnerError

CONFIGS = Path(__file__).parents[3] / "configs"


def test_the_recorded_options_are_those_of_the_pinned_beam(pytestconfig: pytest.Config) -> None:
    known = recorded()
    declared = python_groups({name for name in known if not name.startswith("java.")})
    if pytestconfig.getoption("--regenerate"):
        record(declared)
    else:
        python = {name: known[name] for name in declared}
        assert python == declared, "the options are outdated: run this test with --regenerate"


@pytest.mark.parametrize(
    ("runner", "name", "value", "message"),
    [
        (
            "FlinkRunner",
            "paralelism",
            2,
            "FlinkRunner has no option 'paralelism'; did you mean 'parallelism' or",
        ),
        ("FlinkRunner", "num_workers", 2, "has no option 'num_workers', but DataflowRunner has"),
        ("FnApiRunner", "object_reuse", True, "but FlinkRunner, PortableRunner has"),
        ("FlinkRunner", "zzzz", 2, "FlinkRunner has no option 'zzzz'"),
        ("FlinkRunner", "runner", "SparkRunner", "FlinkRunner has no option 'runner'"),
        ("DataflowRunner", "no_wait_until_finish", True, "has no option 'no_wait_until_finish'"),
        ("FlinkRunner", "parallelism", "two", "expects a whole number, got 'two'"),
        ("FlinkRunner", "parallelism", True, "expects a whole number, got True"),
        ("FlinkRunner", "flink_version", 1.2, "expects one of 1.17, 1.18, 1.19, 1.20, in quotes"),
        ("SparkRunner", "save_main_session", "yes", "expects true or false, got 'yes'"),
        ("DataflowRunner", "experiments", {"a": 1}, "expects a list of texts"),
    ],
)
def test_an_invalid_option_is_explained(runner: str, name: str, value: Any, message: str) -> None:
    assert message in str(option_problem(runner, name, value))


@pytest.mark.parametrize(
    ("runner", "name", "value"),
    [
        ("FlinkRunner", "parallelism", 2),
        ("FlinkRunner", "object_reuse", True),
        ("FlinkRunner", "pipeline_resources_detector_factory_class", "StagesNothing"),
        ("SparkRunner", "bundle_size", 1000),
        ("PrismRunner", "prism_location", "/opt/prism"),
        ("DataflowRunner", "experiments", "use_runner_v2"),
        ("DataflowRunner", "experiments", ["use_runner_v2", "shuffle_mode=service"]),
        ("DataflowRunner", "region", None),
        ("PortableRunner", "job_endpoint", "localhost:8099"),
    ],
)
def test_a_valid_option_has_no_problem(runner: str, name: str, value: Any) -> None:
    assert option_problem(runner, name, value) is None


def test_options_become_the_flags_that_beam_parses() -> None:
    assert flags(
        "FlinkRunner", {"parallelism": 2, "job_endpoint": None, "experiments": ["a", "b"]}
    ) == [
        "--parallelism=2",
        "--experiments=a",
        "--experiments=b",
    ]


def test_false_reaches_beam_where_the_flag_has_an_opposite() -> None:
    options = {"use_public_ips": False, "save_main_session": True, "no_auth": False}
    assert flags("DataflowRunner", options) == ["--no_use_public_ips", "--save_main_session"]


def test_a_java_option_that_is_true_by_default_keeps_its_value() -> None:
    # Beam's parser negates it if the flag is given at all.
    assert flags("FlinkRunner", {"operator_chaining": False}) == ["--operator_chaining"]
    assert flags("FlinkRunner", {"operator_chaining": True}) == []


def test_beam_keeps_the_option_that_job_servers_do_not_describe() -> None:
    options = {"pipeline_resources_detector_factory_class": "StagesNothing"}
    pipeline = RunnerProfile("FlinkRunner", options).pipeline()
    kept = pipeline._options.get_all_options(drop_default=True)
    assert kept["pipeline_resources_detector_factory_class"] == "StagesNothing"


@pytest.mark.parametrize("name", ["local", "prism", "flink", "spark", "dataflow"])
def test_the_profiles_of_the_project_are_valid(name: str) -> None:
    profile = load_config(str(CONFIGS / f"{name}.yaml"), {}).run_settings(use_cache=True).runner
    assert profile.name in RUNNERS


@pytest.mark.parametrize(
    ("runner", "message"),
    [
        (
            "{name: FlinkRuner}",
            r"runner: unknown runner 'FlinkRuner'; did you mean 'FlinkRunner'\?",
        ),
        (
            "{name: FlinkRunner, options: {paralelism: 2, num_workers: 1}}",
            r"'paralelism'; did you mean 'parallelism'.*; FlinkRunner has no option 'num_workers'",
        ),
    ],
)
def test_a_configuration_with_an_unknown_runner_or_option_is_refused(
    tmp_path: Path, runner: str, message: str
) -> None:
    path = tmp_path / "flink.yaml"
    path.write_text(f"runner: {runner}\n")
    with pytest.raises(ConfigError, match=message):
        load_config(str(path), {})


def test_a_job_server_that_does_not_answer_is_named() -> None:
    profile = RunnerProfile("FlinkRunner", {"job_endpoint": "localhost:1"})
    with pytest.raises(
        RunnerError, match=r"no Beam job server answers at localhost:1 \(UNAVAILABLE"
    ):
        profile.pipeline()
