"""A run that uses a secret: its value is nowhere afterwards, whatever is printed or recorded."""

import json
import os
import sys
from pathlib import Path

import pytest
from support import warm

CANARY = "c4n4ry-7d1f-in-the-mine"

PIPELINE = """
import os
from prodml import Output, Parameter, Secret, component, pipeline
from prodml.artifacts import Artifact

class Text(Artifact):
    type_name = "Text"

@component
def Download(made: Output[Text], token: Parameter[Secret], fails: Parameter[bool] = False):
    value = token.reveal()
    assert value == os.environ["EXPECTED"]
    print("the token is", token, repr(token))
    if fails:
        print("about to fail with", value)
        raise ValueError(f"https://user:{value}@host refused {[value]}")
    made.custom_properties["source"] = f"https://user:{value}@host"
    with open(os.path.join(made.uri, "text"), "w") as file:
        file.write(str(len(value)))

@pipeline(name="downloads")
def downloads(token: Secret = Secret("env:TOKEN_OF_TEST"), fails: bool = False):
    Download(token=token, fails=fails)
"""


class Workplace:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.outputs: list[str] = []
        (root / "downloads.py").write_text(PIPELINE)
        self.config = "params:\n  token: env:TOKEN_OF_TEST\n"

    def prodml(self, *arguments: str, code: int = 0) -> str:
        (self.root / "local.yaml").write_text(self.config)
        ran = warm.run(
            [sys.executable, "-m", "prodml", *arguments],
            cwd=self.root,
            capture_output=True,
            text=True,
            env={**os.environ, "TOKEN_OF_TEST": CANARY, "EXPECTED": CANARY},
        )
        assert ran.returncode == code, ran.stdout + ran.stderr
        self.outputs.append(ran.stdout + ran.stderr)
        return ran.stdout + ran.stderr

    def assert_the_canary_is_nowhere(self) -> None:
        for output in self.outputs:
            assert CANARY not in output
        files = [path for path in (self.root / ".prodml").rglob("*") if path.is_file()]
        assert any(path.name == "metadata.db" for path in files)
        assert any(path.name == "Download.log" for path in files)
        for path in files:
            assert CANARY.encode() not in path.read_bytes(), path


@pytest.fixture
def work(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


WITH_CONFIG = ("downloads.py", "--config", "local.yaml")


OWN_PROCESS = "nodes:\n  Download: {timeout_seconds: 60}\n"
BOTH_PROCESSES = pytest.mark.parametrize("limits", ["", OWN_PROCESS])


@BOTH_PROCESSES
def test_the_value_is_nowhere_after_a_run_that_used_it(work: Workplace, limits: str) -> None:
    work.config += limits
    work.prodml("run", *WITH_CONFIG)
    compiled = json.loads(work.prodml("compile", *WITH_CONFIG))
    assert compiled["parameters"][1]["value"] == "env:TOKEN_OF_TEST"
    assert "env:TOKEN_OF_TEST" in work.prodml("show", "latest", "--json")
    work.prodml("show", "latest")
    assert "https://user:***@host" in work.prodml("artifacts", "--json")
    work.prodml("lineage", "1", "--json")
    work.prodml("plan", *WITH_CONFIG, "--json")
    assert "Secret('env:TOKEN_OF_TEST')" in next(
        path.read_text() for path in (work.root / ".prodml").rglob("Download.log")
    )
    work.assert_the_canary_is_nowhere()


def test_a_secret_that_was_rotated_does_not_run_the_node_again(work: Workplace) -> None:
    work.config = ""
    (work.root / "token").write_text(f"{CANARY}\n")
    from_file = ("downloads.py", "--param", f"token=file:{work.root}/token")
    work.prodml("run", *from_file)
    (work.root / "token").write_text("another")
    assert "1 cached" in work.prodml("run", *from_file)
    (work.root / "token").unlink()
    work.assert_the_canary_is_nowhere()


def test_the_value_in_the_place_of_a_reference_is_refused_and_not_shown(work: Workplace) -> None:
    refusal = "a secret must be a reference, env:NAME or file:/absolute/path"
    work.config = ""
    assert refusal in work.prodml("plan", "downloads.py", "--param", f"token={CANARY}", code=2)
    work.config = f"params:\n  token: {CANARY}\n"
    assert refusal in work.prodml("plan", *WITH_CONFIG, code=2)
    text = PIPELINE.replace("env:TOKEN_OF_TEST", CANARY)
    (work.root / "downloads.py").write_text(text)
    assert refusal in work.prodml("compile", "downloads.py", code=2)
    for output in work.outputs:
        assert CANARY not in output


def test_a_secret_that_is_not_there_fails_its_node_and_names_the_reference(
    work: Workplace,
) -> None:
    said = work.prodml("run", "downloads.py", "--param", "token=env:NO_SUCH_TOKEN", code=1)
    assert "secret env:NO_SUCH_TOKEN: the environment variable NO_SUCH_TOKEN is not set" in said


@BOTH_PROCESSES
@pytest.mark.parametrize("traceback", [(), ("--traceback",)])
def test_an_error_that_holds_the_value_is_recorded_and_shown_without_it(
    work: Workplace, traceback: tuple[str, ...], limits: str
) -> None:
    work.config += limits
    said = work.prodml("run", *WITH_CONFIG, "--param", "fails=true", *traceback, code=1)
    assert "ValueError: https://user:***@host refused ['***']" in said
    shown = json.loads(work.prodml("show", "latest", "--json"))
    assert "https://user:***@host" in shown["nodes"][0]["message"]
    assert "https://user:***@host" in shown["run"]["message"]
    log = next((work.root / ".prodml").rglob("Download.log")).read_text()
    assert "about to fail with ***" in log and "Traceback" in log
    work.assert_the_canary_is_nowhere()
