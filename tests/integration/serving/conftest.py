"""One server for the tests of the API: a TF1 model with every kind of signature, as version 7."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.many_signatures import save_many_signatures
from support.running_server import RunningServer, running_server

MONITORING = "prometheus_config { enable: true }"


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("many") / "many"
    save_many_signatures(base / "7")
    return base


@pytest.fixture(scope="session")
def api(many: Path) -> Iterator[RunningServer]:
    monitoring = many.parent / "monitoring.config"
    monitoring.write_text(MONITORING)
    with running_server(
        many.parent,
        "--model_name=many",
        f"--model_base_path={many}",
        f"--monitoring_config_file={monitoring}",
        "--max_request_bytes=1000000",
        "--rest_api_timeout_in_ms=3000",
        "--rest_api_enable_cors_support",
    ) as server:
        yield server
