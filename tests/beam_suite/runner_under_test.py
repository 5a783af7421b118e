"""A pytest plugin that runs Beam's tests on the runner that `--runner-under-test` names.

Beam's tests ask for a runner in three ways: they name none, name DirectRunner or FnApiRunner, or
make an FnApiRunner themselves. All of them get the runner under test.
"""

from __future__ import annotations

from typing import Any

import apache_beam.testing.test_pipeline  # noqa: F401  # core_test takes it for imported
import pytest
from apache_beam.runners import runner as runner_names
from apache_beam.runners.portability import fn_api_runner

from prodml.beam.local_runner import LocalRunner

BeamsRunner: Any = fn_api_runner.FnApiRunner


class LocalRunnerUnderTest(BeamsRunner):
    """The local runner, unless a test asks FnApiRunner for one of its own features."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._asks_for_features = any(arguments) or any(settings.values())

    def run_pipeline(self, pipeline: Any, options: Any) -> Any:
        if self._asks_for_features:
            return super().run_pipeline(pipeline, options)
        self._latest_run_result = LocalRunner().run_pipeline(pipeline, options)
        return self._latest_run_result


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--runner-under-test", choices=["local", "beam"], required=True)


def pytest_configure(config: pytest.Config) -> None:
    chosen = BeamsRunner
    if config.getoption("--runner-under-test") == "local":
        chosen = LocalRunnerUnderTest
        fn_api_runner.FnApiRunner = chosen
        fn_api_runner.fn_runner.FnApiRunner = chosen
    for name in ("directrunner", "fnapirunner"):
        runner_names._RUNNER_MAP[name] = f"{chosen.__module__}.{chosen.__qualname__}"
