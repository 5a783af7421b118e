"""The options of the server's parts, derived from TF Serving's options."""

from __future__ import annotations

from typing import Any

import pytest

from prodml.serving.configuration.server_options import ServerOptions
from prodml.serving.loading import ModelOptions
from prodml.serving.models.saved_model import _session_config
from prodml.serving.part_options import loading_options, model_options


def _of_model(**options: Any) -> ModelOptions:
    return model_options(ServerOptions(model_base_path="/models/flights", **options))


@pytest.mark.parametrize(
    ("session", "intra", "inter", "threads"),
    [
        (0, 0, 0, (0, 0)),
        (3, 0, 0, (3, 3)),
        (0, 2, 1, (2, 1)),
        (3, 2, 0, (2, 0)),
        (3, 0, 1, (0, 1)),
    ],
)
def test_session_parallelism_is_used_unless_another_parallelism_is_set(
    session: int, intra: int, inter: int, threads: tuple[int, int]
) -> None:
    options = _of_model(
        tensorflow_session_parallelism=session,
        tensorflow_intra_op_parallelism=intra,
        tensorflow_inter_op_parallelism=inter,
    )
    config = _session_config(options.session)
    found = config.intra_op_parallelism_threads, config.inter_op_parallelism_threads
    assert found == threads


def test_sessions_use_the_configured_fraction_of_a_gpu() -> None:
    options = _of_model(per_process_gpu_memory_fraction=0.25)
    assert _session_config(options.session).gpu_options.per_process_gpu_memory_fraction == 0.25


def test_tags_are_separated_by_commas() -> None:
    assert _of_model().tags == ["serve"]
    assert _of_model(saved_model_tags="serve,gpu").tags == ["serve", "gpu"]


def test_the_page_cache_is_dropped_unless_it_is_disabled() -> None:
    assert _of_model().drop_file_cache
    assert not _of_model(flush_filesystem_caches=False).drop_file_cache


@pytest.mark.parametrize(
    ("enabled", "iterations", "rounds"),
    [(True, 0, 1), (True, -1, 1), (True, 1, 1), (True, 4, 4), (False, 4, 0)],
)
def test_recorded_requests_are_run_once_or_as_often_as_asked(
    enabled: bool, iterations: int, rounds: int
) -> None:
    options = _of_model(enable_model_warmup=enabled, num_request_iterations_for_warmup=iterations)
    assert options.warm_up_rounds == rounds


@pytest.mark.parametrize(("asked", "threads"), [(0, 1), (1, 1), (3, 3)])
def test_zero_load_threads_are_one(asked: int, threads: int) -> None:
    options = loading_options(
        ServerOptions(model_base_path="/m", num_load_threads=asked, num_unload_threads=asked)
    )
    assert (options.load_threads, options.unload_threads) == (threads, threads)
