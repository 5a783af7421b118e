"""Loads a version and warms it up with recorded requests."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prodml.errors import ServingError
from prodml.paths import first_link_outside
from prodml.serving.calls.inference import warm
from prodml.serving.models.model_version import LoadedVersion
from prodml.serving.models.saved_model import SavedModel, SessionOptions
from prodml.serving.models.servable import Servable
from prodml.serving.models.warm_up import read_warm_up_requests
from prodml.serving.observation.metrics import ServerMetrics
from prodml.serving.values.signatures import Signature

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelOptions:
    """How versions are loaded.

    Attributes:
        tags: tags of the graph in a SavedModel.
        session: how SavedModels run.
        prefer_tflite: whether a `model.tflite` beside the SavedModel is served instead of it.
        tflite_interpreters: maximum number of concurrent calls of a TFLite model.
        warm_up_rounds: how often the recorded requests are run; 0 for never.
        drop_file_cache: whether the files are dropped from the page cache once they are loaded.
        checks_method_name: whether a request must match the method name of its signature.
    """

    tags: Sequence[str]
    session: SessionOptions
    prefer_tflite: bool
    tflite_interpreters: int
    warm_up_rounds: int
    drop_file_cache: bool
    checks_method_name: bool


def load_version(
    model: str, number: int, path: str, options: ModelOptions, metrics: ServerMetrics
) -> LoadedVersion:
    """Loads a version and runs its recorded requests. Blocks.

    Args:
        model: name of the model.
        number: the version.
        path: its directory.
        options: how to load it.
        metrics: records how long it takes.

    Raises:
        ServingError: the version cannot be loaded, or fails on a recorded request.
    """
    with _counted(lambda status, seconds: metrics.loaded(path, status, seconds)):
        servable = _servable(path, options)
    with contextlib.ExitStack() as undo:
        # A failed load is retried, and each session left open would keep the model in memory.
        undo.callback(servable.close)
        signatures = {
            key: Signature.of(key, signature, checks_method=options.checks_method_name)
            for key, signature in servable.signatures.items()
        }
        version = LoadedVersion(model, number, servable, signatures)
        if options.warm_up_rounds and (records := read_warm_up_requests(path)):
            with _counted(lambda status, seconds: metrics.warmed_up(path, status, seconds)):
                for record in records * options.warm_up_rounds:
                    warm(version, record)
            log.info("Warmed version %d of %s with %d requests", number, model, len(records))
        undo.pop_all()
    if options.drop_file_cache:
        _drop_file_cache(path)
    return version


def _servable(path: str, options: ModelOptions) -> Servable:
    if (link := first_link_outside(path)) is not None:
        raise ServingError(
            "FAILED_PRECONDITION",
            f"{os.path.join(path, link)} is a link to a target outside the version; replace the "
            f"link with a copy of its target",
        )
    if options.prefer_tflite and os.path.isfile(os.path.join(path, "model.tflite")):
        from prodml.serving.models.tflite_model import load_tflite_model

        return load_tflite_model(path, interpreters=options.tflite_interpreters)
    return SavedModel(path, options.tags, options.session)


@contextlib.contextmanager
def _counted(count: Callable[[str, float], None]) -> Iterator[None]:
    """Records the status and the duration of its block, and turns any exception into a
    ServingError, because a model may fail in any way."""
    started, status = time.perf_counter(), "OK"
    try:
        yield
    except ServingError as error:
        status = error.code
        raise
    except Exception as error:
        status = "INTERNAL"
        log.debug("unexpected failure", exc_info=True)
        raise ServingError(status, f"{type(error).__name__}: {error}") from error
    finally:
        count(status, time.perf_counter() - started)


def _drop_file_cache(path: str) -> None:
    for directory, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError), open(os.path.join(directory, name), "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
