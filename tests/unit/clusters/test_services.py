"""Processes of a cluster are recorded, watched until they are ready, and ended with children."""

import sys
from pathlib import Path

import pytest
from clusters.services import ClusterError, Service, Services
from support.processes import wait_until_gone

PARENT = """
import subprocess, sys, time
command = [sys.executable, "-c", "import time; time.sleep(600)"]
child = subprocess.Popen(command, start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


def python(services: Services, name: str, code: str) -> Service:
    return services.start(name, [sys.executable, "-c", code])


@pytest.fixture
def services(tmp_path: Path) -> Services:
    found = Services(tmp_path)
    found.begin()
    return found


def first_line(service: Service) -> str | None:
    return None if Path(service.log).read_text().strip() else "no output"


def test_stop_ends_processes_and_children_in_sessions_of_their_own(services: Services) -> None:
    parent = python(services, "parent", PARENT)
    services.wait_until([parent], lambda: first_line(parent), 30)
    child = int(Path(parent.log).read_text())
    services.publish({"rest": "localhost:1"})
    assert services.addresses() == {"rest": "localhost:1"}
    assert services.stop() == 2
    wait_until_gone([parent.pid, child])
    assert services.addresses() is None
    assert services.stop() == 0


def test_another_process_ends_what_this_one_started(services: Services, tmp_path: Path) -> None:
    service = python(services, "sleeper", "import time; time.sleep(600)")
    assert Services(tmp_path).stop() == 1
    wait_until_gone([service.pid])


def test_begin_ends_what_an_interrupted_start_left(services: Services, tmp_path: Path) -> None:
    service = python(services, "sleeper", "import time; time.sleep(600)")
    Services(tmp_path).begin()
    wait_until_gone([service.pid])


def test_a_cluster_with_a_dead_process_is_not_running(services: Services) -> None:
    service = python(services, "short", "print('done')")
    services.publish({})
    with pytest.raises(ClusterError):
        services.wait_until([service], lambda: "nothing", 30)
    assert services.addresses() is None
    services.stop()


def test_the_error_for_an_ended_service_shows_the_end_of_its_log(services: Services) -> None:
    service = python(services, "job-server", "raise SystemExit('port 8099 is taken')")
    with pytest.raises(ClusterError) as caught:
        services.wait_until([service], lambda: "no answer", 30)
    assert "job-server has ended" in str(caught.value)
    assert service.log in str(caught.value)
    assert "port 8099 is taken" in str(caught.value)
    services.stop()


def test_the_error_for_a_service_that_is_not_ready_says_what_is_missing(
    services: Services,
) -> None:
    service = python(services, "job-manager", "import time; time.sleep(600)")
    with pytest.raises(ClusterError, match="job-manager is not ready .*: 1 of 2 task managers"):
        services.wait_until([service], lambda: "1 of 2 task managers", 0)
    services.stop()
