"""Trials of the flights pipeline: same model as an undisturbed run, with a polling server."""

from __future__ import annotations

import contextlib
from pathlib import Path

import tensorflow as tf
from faults.invariants import links_of, versions_of
from faults.subjects import flights, prepare_flights
from faults.sweep import Subject, Trial
from support.running_server import running_server
from tensorflow_serving.apis import get_model_status_pb2

from prodml.metadata.reading import LineageReader
from prodml.metadata.store import Store


class FlightsTrials(contextlib.ExitStack):
    """Trials that push to one directory, one after another, while a server polls it.

    Args:
        root: directory for everything.
    """

    def __init__(self, root: Path) -> None:
        super().__init__()
        root.mkdir(parents=True)
        self._root = root
        data = prepare_flights(root)
        self._serving = root / "serving"
        unharmed = self._new(flights(data, self._serving, {}), "unharmed")
        process = unharmed.start()
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
        reader = LineageReader(Store(str(unharmed.home / "metadata.db")))
        links = links_of(reader, reader.runs(1)[0].run_id)
        self.subject = flights(data, self._serving, links)
        self.points = unharmed.points()
        self._variables = variables(unharmed)
        options = ["--model_name=flights", f"--model_base_path={self._serving}"]
        self._server = self.enter_context(
            running_server(root, *options, "--file_system_poll_wait_seconds=1")
        )

    def trial(self, number: int) -> Trial:
        """A new trial with its own run and directories."""
        return self._new(self.subject, f"trial-{number}")

    def failure(self, trial: Trial) -> str:
        """How the model of a complete trial differs from the undisturbed run's; empty if equal."""
        found = variables(trial)
        if found.keys() != self._variables.keys():
            return f"other variables: {found.keys() ^ self._variables.keys()}"
        return next((f"{k} differs" for k in found if found[k] != self._variables[k]), "")

    def server_failure(self) -> str:
        """Describes errors of the polling server; empty if there were none."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "flights"
        statuses = self._server.models.GetModelStatus(request).model_version_status
        wrong = [s for s in statuses if s.status.error_code]
        log = self._server.output()
        if wrong or not statuses or "rror" in log or "failed" in log:
            return f"the server: {wrong} {log}"
        return ""

    def _new(self, subject: Subject, name: str) -> Trial:
        directory = self._root / name
        directory.mkdir()
        return Trial(subject, directory)


def variables(trial: Trial) -> dict[str, bytes]:
    """The values of all variables of the pushed version."""
    reader = LineageReader(Store(str(trial.home / "metadata.db")))
    (version,) = versions_of(trial.serving, reader.runs(1)[0].run_id)
    saved = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    names = [n for n in saved.get_variable_to_shape_map() if "OBJECT_GRAPH" not in n]
    return {name: saved.get_tensor(name).tobytes() for name in names}
