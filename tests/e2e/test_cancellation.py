"""Ctrl-C and SIGTERM end a run as cancelled, with nothing half-published."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import warm

PIPELINE = """
import time
import apache_beam as beam
from pathlib import Path
from prodml.beam.profiles import RunnerProfile
from prodml import Output, component, pipeline
from prodml.artifacts import Schema

@component
def Wait(made: Output[Schema]):
    Path(made.uri, "half").write_text("half")
    open("started", "w").close()
    time.sleep(60)

@component
def WaitInBeam(made: Output[Schema]):
    def wait(_):
        open("started", "w").close()
        time.sleep(60)
    Path(made.uri, "half").write_text("half")
    with RunnerProfile().pipeline() as pipeline:
        pipeline | beam.Impulse() | beam.Map(wait)

@component
def After(made: Output[Schema]):
    pass

@pipeline(name="waiting")
def waiting(in_beam: bool = False):
    After().add_upstream_node(WaitInBeam() if in_beam else Wait())
"""


@pytest.mark.parametrize("in_beam", ["false", "true"])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_the_run(tmp_path: Path, sent: signal.Signals, in_beam: str) -> None:
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    command = [sys.executable, "-m", "prodml", "run", "pipeline.py"]
    command += ["--param", f"in_beam={in_beam}"]
    with warm.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Wait" in line and "runs" in line:
                break
        while not (tmp_path / "started").exists():
            assert process.poll() is None
        process.send_signal(sent)
        output = process.stdout.read()
    assert process.returncode == 130, output
    assert "was cancelled; completed nodes are kept" in output
    assert "Traceback" not in output
    shown = warm.run(
        [sys.executable, "-m", "prodml", "show", "latest", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    detail = json.loads(shown.stdout)
    assert detail["run"]["state"] == "CANCELED"
    assert [node["state"] for node in detail["nodes"]] == ["CANCELED"]
    assert [p for p in (tmp_path / ".prodml" / "artifacts").glob("*/**/*") if p.is_file()] == []
