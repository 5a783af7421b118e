import os
import subprocess
import sys
from pathlib import Path

from support.processes import wait_until_gone

from prodml.processes.watched_process import WatchedProcess

READS_ITS_CONFIGURATION = "from prodml.config import load_config; load_config(None)"

LEAVES_A_STRAY_BEHIND = """
import subprocess, sys
from prodml.processes.watched_process import WatchedProcess

START_A_STRAY = (
    "import subprocess; print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid)"
)
with open({pids!r}, "wb") as pids:
    WatchedProcess([sys.executable, "-c", START_A_STRAY], pids).wait()
"""


def test_a_watched_command_can_read_its_configuration() -> None:
    process = WatchedProcess([sys.executable, "-c", READS_ITS_CONFIGURATION], subprocess.DEVNULL)
    try:
        assert process.wait(60) == 0
    finally:
        process.stop(1)


def test_a_command_inherits_the_descriptors_that_it_is_passed() -> None:
    reading, writing = os.pipe()
    process = WatchedProcess(
        [sys.executable, "-c", f"import os; os.write({writing}, b'sent')"],
        subprocess.DEVNULL,
        pass_fds=[writing],
    )
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as pipe:
            assert pipe.read() == b"sent"
    finally:
        process.stop(1)


def test_a_child_of_a_watched_process_inside_another_ends_with_the_outer_one(
    tmp_path: Path,
) -> None:
    pids = tmp_path / "pids"
    code = LEAVES_A_STRAY_BEHIND.format(pids=str(pids))
    outer = WatchedProcess([sys.executable, "-c", code], subprocess.DEVNULL)
    assert outer.wait(60) == 0
    outer.stop(1)
    wait_until_gone([int(pids.read_text())])
