"""The process that `warm` forks: imports libraries, then carries out orders in forks of itself."""

from __future__ import annotations

import array
import gc
import importlib
import json
import logging
import os
import runpy
import socket
import sys
import tempfile
import warnings
from collections.abc import Mapping
from typing import Any

_WITHOUT_TENSORFLOW = (
    "apache_beam",
    "grpc",
    "ml_metadata.metadata_store.metadata_store",
    "prodml.cli.main",
    "prodml.orchestration.run",
    "pyarrow.parquet",
)
_TENSORFLOW = (
    "tensorflow",
    "tensorflow_data_validation",
    "tensorflow_transform",
    "tensorflow_serving.apis.prediction_service_pb2_grpc",
    "prodml.components.evaluator.tfma",
    "prodml.serving.server",
)


def main() -> None:
    """Waits for orders until the tests end; returns in the fork, when its program has ended."""
    # As for an interpreter that starts: no directory of this script, no PYTHONPATH.
    path = sys.path[1:]
    sys.path[:] = [os.getcwd(), *path]
    orders = socket.socket(fileno=int(sys.argv[1]))
    _import(sys.argv[2])
    # The forks share the pages of what exists now.
    gc.collect()
    gc.freeze()
    while True:
        length, descriptors = _received(orders)
        if not length:
            os._exit(0)
        order = json.loads(orders.recv(length, socket.MSG_WAITALL))
        if _is_fork(orders):
            orders.close()
            break
        for descriptor in descriptors:
            os.close(descriptor)
    _prepare(order, descriptors, path)
    _run(order["program"])


def _import(libraries: str) -> None:
    if libraries == "tensorflow":
        from prodml import keras_choice

        keras_choice.choose(keras_choice.DEFAULT)
    for name in _WITHOUT_TENSORFLOW + (_TENSORFLOW if libraries == "tensorflow" else ()):
        importlib.import_module(name)
    # A library installs one if there is none; the program's own must come first.
    logging.root.handlers.clear()


def _received(orders: socket.socket) -> tuple[int, list[int]]:
    """The length of the next order, 0 at the end; and its three streams."""
    size = array.array("i").itemsize * 3
    data, ancillary, _, _ = orders.recvmsg(4, socket.CMSG_SPACE(size))
    descriptors = array.array("i")
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(value)
    return int.from_bytes(data, "big"), list(descriptors)


def _is_fork(orders: socket.socket) -> bool:
    """Forks twice, so that the second fork loses its parent, and answers with its process id."""
    reading, writing = os.pipe()
    middle = os.fork()
    if middle:
        os.close(writing)
        pid = os.read(reading, 4)
        os.close(reading)
        os.waitpid(middle, 0)
        orders.sendall(pid)
        return False
    has_parent, parent = os.pipe()
    fork = os.fork()
    if fork:
        os.write(writing, fork.to_bytes(4, "big"))
        os._exit(0)
    # The end of the file says that the parent has ended.
    os.close(parent)
    os.read(has_parent, 1)
    for descriptor in (has_parent, reading, writing):
        os.close(descriptor)
    return True


def _prepare(order: Mapping[str, Any], descriptors: list[int], path: list[str]) -> None:
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if order["start_new_session"]:
        os.setsid()
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    # Imports have looked it up.
    tempfile.tempdir = None
    program = order["program"]
    first = order["cwd"] if program[0] == "-m" else os.path.dirname(os.path.abspath(program[0]))
    given = [entry for entry in order["env"].get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = [first, *map(os.path.abspath, given), *path]
    sys.orig_argv[:] = [sys.executable, *program]
    if "PYTHONWARNINGS" in order["env"]:
        warnings._processoptions(order["env"]["PYTHONWARNINGS"].split(","))  # type: ignore[attr-defined]
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]


def _run(program: list[str]) -> None:
    if program[0] == "-m":
        sys.argv[:] = [program[1], *program[2:]]
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv[:] = program
        runpy.run_path(program[0], run_name="__main__")


if __name__ == "__main__":
    main()
