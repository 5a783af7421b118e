import os
from dataclasses import replace
from pathlib import Path

import pytest

from prodml.config import load_config
from prodml.errors import ConfigError
from prodml.orchestration.settings import NodeLimits, RunSettings


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "local.yaml"
    path.write_text(text)
    return str(path)


def test_without_a_file_everything_is_under_home() -> None:
    config = load_config(None, {})
    assert str(config.metadata_connection) == ".prodml/metadata.db"
    assert config.artifacts_path == ".prodml/artifacts"
    assert config.runner.name == "FnApiRunner"


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "home: a\nrunner:\n  name: FlinkRunner\nparams:\n  steps: 1\n")
    environment = {"PRODML_RUNNER__NAME": "SparkRunner", "PRODML_PARAMS__STEPS": "2", "OTHER": "x"}
    config = load_config(path, environment)
    assert (config.home, config.runner.name, config.params) == ("a", "SparkRunner", {"steps": 2})


def test_the_runner_checks_portability_if_the_file_says_so(tmp_path: Path) -> None:
    checked = load_config(written(tmp_path, "runner:\n  check_portability: true\n"), {})
    assert checked.run_settings(use_cache=True).runner.check_portability
    assert not load_config(None, {}).run_settings(use_cache=True).runner.check_portability


def test_memory_can_be_written_with_a_unit(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, "nodes: {Trainer: {memory: 4GiB}}\n"), {})
    assert config.run_settings(use_cache=True).limits == {"Trainer": NodeLimits(memory=4 << 30)}


def test_the_defaults_of_a_configuration_are_those_of_the_engine() -> None:
    config = load_config(None, {})
    engine = RunSettings(config.metadata_connection, config.artifacts_path, config.logs_path)
    scratch_root = os.path.join(config.home, "scratch")
    assert config.run_settings(use_cache=True) == replace(engine, scratch_root=scratch_root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hom: x\n", r"local\.yaml: unknown key 'hom'; did you mean 'home'\? allowed: .*home, "),
        ("runner:\n  nam: x\n", r"unknown key 'runner\.nam'; did you mean 'name'\?"),
        ("home: 3\n", r"home: .*string, got 3"),
        ("- a\n", "expected keys and values, got list"),
        ("a: [\n", "invalid YAML"),
        (
            f"params: {'[' * 5000}",
            r"local\.yaml: the document nests deeper than 100 levels, line 1, column",
        ),
        ("home: a\nhome: b\n", r"local\.yaml: duplicate key 'home', .* line 2"),
        ("home: 2026-13-45\n", r"local\.yaml: invalid value: month .*, line 1, column 7"),
        ("home: !!python/object/apply:os.getcwd []\n", "invalid YAML"),
    ],
)
def test_the_error_for_an_invalid_file_names_file_key_and_allowed_values(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(written(tmp_path, text), {})


def test_the_error_for_a_missing_file_names_it() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml does not exist"):
        load_config("nowhere.yaml", {})


@pytest.mark.parametrize("text", ["[" * 5000, "2026-13-45", "*c4n4ry", "{a: 1, a: 2}", "[c4n4ry"])
def test_the_error_for_a_variable_that_is_not_valid_yaml_names_it(text: str) -> None:
    with pytest.raises(ConfigError, match="^PRODML_PARAMS: ") as caught:
        load_config(None, {"PRODML_PARAMS": text})
    assert "c4n4ry" not in str(caught.value)


def test_an_unknown_variable_is_an_unknown_key() -> None:
    with pytest.raises(ConfigError, match=r"^PRODML_HOM: unknown key 'hom'; did you mean 'home'"):
        load_config(None, {"PRODML_HOM": "x"})


def test_the_error_for_an_invalid_value_names_its_variable_or_file(tmp_path: Path) -> None:
    path = written(tmp_path, "grace_seconds: 0\nretry: {max_attempts: 0}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, {"PRODML_RETRY__MAX_ATTEMPTS": "-1"})
    message = str(caught.value)
    assert "PRODML_RETRY__MAX_ATTEMPTS: retry.max_attempts: " in message
    assert f"{path}: grace_seconds: " in message


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ('home: "c4n4ry\n', {}),
        ("metadata: c4n4ry\n", {}),
        ("home: a\n", {"PRODML_METADATA__SQLITE": "@c4n4ry"}),
        ("home: [c4n4ry]\n", {}),
        ("metadata: {mysql: 'mysql://me:c4n4ry@h'}\n", {}),
        ("events: {openlineage: 'http://me:c4n4ry@h'}\n", {}),
    ],
)
def test_a_value_that_may_be_a_secret_is_not_shown(
    tmp_path: Path, text: str, environment: dict[str, str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(written(tmp_path, text), environment)
    assert "c4n4ry" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{transport: http}", r"events\.openlineage: transport http needs a url, such as http"),
        ("{transport: http, url: 'localhost:5000'}", r"url: expected http://host:port or .*, got "),
        ("{transport: file, url: 'http://h'}", "transport file uses path"),
        ("{transport: kafka}", r"transport: .*'file' or 'http'"),
        ("{transport: http, url: 'http://me:c4n4ry@h'}", "no name or password allowed; use token"),
        ("{transport: http, url: 'http://h', token: c4n4ry}", "a secret must be a reference"),
        (
            "{transport: file, pat: x}",
            r"unknown key 'events\.openlineage\.pat'; did you mean 'path'",
        ),
    ],
)
def test_the_destination_of_openlineage_events_is_validated(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(written(tmp_path, f"events:\n  openlineage: {text}\n"), {})
    assert "c4n4ry" not in str(caught.value)


def test_the_shipped_configurations_are_valid() -> None:
    configs = Path(__file__).parents[2] / "configs"
    assert str(load_config(str(configs / "local.yaml"), {}).metadata_connection) == (
        ".prodml/metadata.db"
    )
    environment = {"PRODML_METADATA__POSTGRESQL__HOST": "db.example"}
    production = load_config(str(configs / "production.yaml"), environment)
    assert str(production.metadata_connection) == "postgresql://prodml@db.example:5432/prodml"
    assert production.artifacts_path == "s3://ml-artifacts/prodml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metadata: {sqlite: a, grpc: {host: b}}\n", "set only one of sqlite, mysql, postgresql"),
        ("metadata: {mysql: {hots: b}}\n", r"unknown key 'metadata\.mysql\.hots'; did you mean"),
        ("nodes: {Trainer: {memry: 1}}\n", r"unknown key 'nodes\.Trainer\.memry'; did you mean"),
        ("retry: {max_attempts: 0}\n", r"retry\.max_attempts: .*greater than or equal to 1"),
        ("nodes: {Trainer: {timeout_seconds: 0}}\n", r"timeout_seconds: .*greater than 0, got 0"),
    ],
)
def test_the_error_for_an_invalid_section_names_its_key(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(written(tmp_path, text), {})
