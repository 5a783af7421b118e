"""Three kinds of model server for one model: embedded, TF Serving's binary, TF Serving's image."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from prodml.errors import ConfigError

_IMAGE_GRPC_PORT = 8500
_IMAGE_REST_PORT = 8501
_ENGINE_SECONDS = 20.0


@dataclass(frozen=True)
class ServedModel:
    """The model that a server serves, and the ports that it listens on.

    Attributes:
        name: name of the model.
        base_path: absolute path of the directory of its versions.
        port: port for gRPC.
        rest_port: port for REST; 0 for none.
        tags: tags of the graph in the SavedModel.
        memory_limit_bytes: memory limit of the server; None for no limit.
    """

    name: str
    base_path: str
    port: int
    rest_port: int
    tags: Sequence[str] = ("serve",)
    memory_limit_bytes: int | None = None


class ServerLauncher(Protocol):
    """Starts one kind of model server."""

    def check(self) -> None:
        """Raises ConfigError, with the fix, if this machine has no such server."""

    def command(self, model: ServedModel) -> list[str]:
        """Returns the command line, which starts with an executable file."""

    def __str__(self) -> str:
        """Returns a short description of the server."""


@dataclass(frozen=True)
class Embedded:
    """prodml's own server, in a separate process."""

    def check(self) -> None:
        pass

    def command(self, model: ServedModel) -> list[str]:
        return [sys.executable, "-m", "prodml", "serve", *_addresses(model), *_loading(model)]

    def __str__(self) -> str:
        return "embedded server"


@dataclass(frozen=True)
class Binary:
    """A `tensorflow_model_server` executable.

    Attributes:
        path: path of the file, or a name on the PATH.
    """

    path: str

    def check(self) -> None:
        if shutil.which(self.path) is None:
            raise ConfigError(
                f"{self.path} is not an executable file; set the path of a "
                f"tensorflow_model_server, or validate with the embedded server"
            )

    def command(self, model: ServedModel) -> list[str]:
        executable = os.path.abspath(shutil.which(self.path) or self.path)
        return [executable, *_addresses(model), *_loading(model)]

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class DockerImage:
    """A TF Serving image, run by Docker.

    Attributes:
        image: its name, such as `tensorflow/serving:2.16.1`.
        docker: the docker executable.
    """

    image: str
    docker: str = "docker"

    def check(self) -> None:
        executable = shutil.which(self.docker)
        if executable is None:
            raise ConfigError(
                f"{self.image} needs Docker, and there is no {self.docker!r} on the PATH; install "
                f"it, or validate with the embedded server or a binary"
            )
        try:
            result = subprocess.run(
                [executable, "version", "--format", "{{.Server.Version}}"],
                capture_output=True,
                text=True,
                timeout=_ENGINE_SECONDS,
            )
            refusal = result.stderr.strip() if result.returncode else ""
        except subprocess.TimeoutExpired:
            refusal = f"no answer in {_ENGINE_SECONDS:g} s"
        if refusal:
            raise ConfigError(
                f"{self.image} needs Docker, and its engine does not answer: "
                f"{refusal.splitlines()[-1]}; start it, or validate with the embedded server or "
                f"a binary"
            )

    def command(self, model: ServedModel) -> list[str]:
        mounted = f"/models/{model.name}"
        limit = model.memory_limit_bytes
        return [
            shutil.which(self.docker) or self.docker,
            "run",
            "--rm",
            # An init process forwards SIGTERM; the first process in a container ignores it.
            "--init",
            f"--name=prodml-{uuid.uuid4().hex[:12]}",
            f"--publish=127.0.0.1:{model.port}:{_IMAGE_GRPC_PORT}",
            *(
                [f"--publish=127.0.0.1:{model.rest_port}:{_IMAGE_REST_PORT}"]
                if model.rest_port
                else []
            ),
            f"--mount=type=bind,source={model.base_path},target={mounted},readonly",
            f"--env=MODEL_NAME={model.name}",
            *([f"--memory={limit}", f"--memory-swap={limit}"] if limit else []),
            self.image,
            # The image's entry point sets the ports, the model and its path.
            *_loading(model),
        ]

    def __str__(self) -> str:
        return self.image


def _addresses(model: ServedModel) -> list[str]:
    return [
        f"--port={model.port}",
        f"--rest_api_port={model.rest_port}",
        f"--model_name={model.name}",
        f"--model_base_path={model.base_path}",
    ]


def _loading(model: ServedModel) -> list[str]:
    return [
        # A model that does not load now would not load after a retry.
        "--max_num_load_retries=0",
        "--file_system_poll_wait_seconds=0",
        f"--saved_model_tags={','.join(model.tags)}",
    ]
