"""The command lines of model servers, and the errors if a server is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from prodml.errors import ConfigError
from prodml.serving.processes.server_launchers import Binary, DockerImage, Embedded, ServedModel

MODEL = ServedModel("late", "/models of/late", 1234, 1235, memory_limit_bytes=10**9)
LOADING = [
    "--max_num_load_retries=0",
    "--file_system_poll_wait_seconds=0",
    "--saved_model_tags=serve",
]
ADDRESSES = [
    "--port=1234",
    "--rest_api_port=1235",
    "--model_name=late",
    "--model_base_path=/models of/late",
]


def executable(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_the_embedded_server_and_a_binary_take_the_same_options() -> None:
    assert Embedded().command(MODEL) == [
        *(sys.executable, "-m", "prodml", "serve"),
        *(*ADDRESSES, *LOADING),
    ]
    assert Binary("/bin/true").command(MODEL) == ["/bin/true", *ADDRESSES, *LOADING]


def test_an_image_gets_the_model_read_only_and_answers_this_machine_alone() -> None:
    command = DockerImage("tensorflow/serving:2.16.1").command(MODEL)
    image = command.index("tensorflow/serving:2.16.1")
    options = command[2:image]
    assert command[1] == "run"
    assert "--rm" in options and "--init" in options
    assert "--publish=127.0.0.1:1234:8500" in options
    assert "--publish=127.0.0.1:1235:8501" in options
    assert "--mount=type=bind,source=/models of/late,target=/models/late,readonly" in options
    assert "--env=MODEL_NAME=late" in options
    assert "--memory=1000000000" in options
    assert command[image + 1 :] == LOADING


def test_a_missing_binary_is_named_in_the_error() -> None:
    with pytest.raises(ConfigError, match="/no/server is not an executable file"):
        Binary("/no/server").check()


def test_a_missing_docker_is_named_in_the_error() -> None:
    with pytest.raises(ConfigError, match="no '/no/docker' on the PATH; install it"):
        DockerImage("image", "/no/docker").check()


def test_the_error_quotes_an_engine_that_does_not_answer(tmp_path: Path) -> None:
    said = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock."
    docker = executable(tmp_path / "docker", f"echo '{said}' >&2; exit 1")
    with pytest.raises(ConfigError, match=f"its engine does not answer: {said}"):
        DockerImage("image", docker).check()


def test_docker_with_an_engine_is_good_enough(tmp_path: Path) -> None:
    DockerImage("image", executable(tmp_path / "docker", "echo 27.0.1")).check()
