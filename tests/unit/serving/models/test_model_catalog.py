from __future__ import annotations

import asyncio
import dataclasses
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import model_pb2
from tensorflow_serving.config import model_server_config_pb2

from prodml.errors import ServingError
from prodml.serving.configuration.server_options import ServerOptions
from prodml.serving.models.model_catalog import Models
from prodml.serving.models.model_version import LoadedVersion, VersionState
from prodml.serving.models.served_model import LoadingOptions
from prodml.serving.part_options import loading_options
from prodml.storage.model_versions import versions_on_disk

DEFAULTS = loading_options(ServerOptions())
NO_WAITING = replace(DEFAULTS, poll_seconds=0.01, max_retries=0, retry_seconds=0)


class Closable:
    """A fake loaded model; a directory with a file `broken` cannot be loaded."""

    signatures: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        self.is_closed = False

    def run(self, feeds: Any, fetches: Any) -> list[Any]:
        return []

    def close(self) -> None:
        self.is_closed = True


def load(model: str, number: int, path: str) -> LoadedVersion:
    if (Path(path) / "broken").exists():
        raise ServingError("DATA_LOSS", f"version {number} is broken")
    return LoadedVersion(model, number, Closable(), {})


def config(base: Path, policy: str = "", labels: str = "") -> Any:
    text = (
        f'model_config_list {{ config {{ name: "m" base_path: "{base}" '
        f'model_platform: "tensorflow" {policy} {labels} }} }}'
    )
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


def no_models() -> Any:
    return text_format.Parse("model_config_list {}", model_server_config_pb2.ModelServerConfig())


def spec(**choice: Any) -> model_pb2.ModelSpec:
    made = model_pb2.ModelSpec(name="m", version_label=choice.get("label", ""))
    if "label" not in choice:
        made.ClearField("version_label")
    if "version" in choice:
        made.version.value = choice["version"]
    return made


def add(base: Path, *numbers: int, broken: bool = False) -> None:
    for number in numbers:
        (base / str(number)).mkdir(parents=True)
        if broken:
            (base / str(number) / "broken").touch()


def states(models: Models) -> dict[int, str]:
    return {version.number: version.state.name for version in models.versions("m")}


def with_models(
    scenario: Callable[[Models], Awaitable[None]], options: LoadingOptions = NO_WAITING
) -> None:
    async def run() -> None:
        models = Models(load, options)
        await scenario(models)
        await asyncio.wait_for(models.close(), 10)

    asyncio.run(run())


async def until(models: Models, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        await models.until(condition)


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        ("", {3}),
        ("model_version_policy { latest { num_versions: 2 } }", {2, 3}),
        ("model_version_policy { all {} }", {1, 2, 3}),
        ("model_version_policy { specific { versions: 1 versions: 9 } }", {1}),
    ],
)
def test_the_policy_says_which_versions_are_served(tmp_path, policy, served):
    add(tmp_path, 1, 2, 3)

    async def scenario(models: Models) -> None:
        await models.start(config(tmp_path, policy))
        await until(models, lambda: models.available("m").keys() == served)
        assert models.find(spec()).number == max(served)

    with_models(scenario)


@pytest.mark.parametrize(
    ("poll_seconds", "at_the_start", "later"), [(0.01, {1}, {2}), (0, {1}, {1}), (-1, set(), set())]
)
def test_base_paths_are_polled_repeatedly_once_or_never(
    tmp_path, poll_seconds, at_the_start, later
):
    add(tmp_path, 1)

    async def scenario(models: Models) -> None:
        await models.start(config(tmp_path))
        assert models.available("m").keys() == at_the_start
        add(tmp_path, 2)
        models.start_polling()
        if later == {2}:
            await until(models, lambda: models.available("m").keys() == {2})
        await asyncio.sleep(0.1)
        assert models.available("m").keys() == later

    with_models(scenario, dataclasses.replace(NO_WAITING, poll_seconds=poll_seconds))


def test_a_new_version_is_loaded_before_the_old_one_goes(tmp_path):
    add(tmp_path, 1)

    async def scenario(models: Models) -> None:
        await models.configure(config(tmp_path))
        models.start_polling()
        old = models.find(spec())
        old.acquire()
        add(tmp_path, 2)
        await until(models, lambda: models.find(spec()).number == 2)
        assert states(models)[1] == "UNLOADING"
        assert not old.servable.is_closed, "a call is still running"
        old.release()
        await until(models, lambda: states(models)[1] == "END")
        assert old.servable.is_closed

    with_models(scenario)


def test_a_version_that_fails_to_load_is_reported_and_replaces_nothing(tmp_path):
    add(tmp_path, 1)

    async def scenario(models: Models) -> None:
        await models.configure(config(tmp_path))
        models.start_polling()
        add(tmp_path, 2, broken=True)
        await until(models, lambda: states(models).get(2) == "END")
        assert models.find(spec()).number == 1
        (failed, _) = models.versions("m")
        assert failed.error is not None
        assert str(failed.error) == "version 2 is broken"
        add(tmp_path, 3)
        await until(models, lambda: models.find(spec()).number == 3)

    with_models(scenario)


def test_a_failed_load_is_retried_as_often_as_configured(tmp_path):
    attempts = []

    def failing(model: str, number: int, path: str) -> LoadedVersion:
        attempts.append(number)
        if len(attempts) < 3:
            raise ServingError("UNAVAILABLE", "not yet")
        return load(model, number, path)

    add(tmp_path, 1)

    async def run() -> None:
        models = Models(failing, replace(DEFAULTS, retry_seconds=0))
        await models.start(config(tmp_path))
        await until(models, lambda: bool(models.available("m")))
        await models.close()

    asyncio.run(run())
    assert attempts == [1, 1, 1]


def test_if_all_versions_are_removed_nothing_is_served(tmp_path):
    add(tmp_path, 1)

    async def scenario(models: Models) -> None:
        await models.configure(config(tmp_path))
        models.start_polling()
        (tmp_path / "1").rmdir()
        await until(models, lambda: states(models)[1] == "END")
        with pytest.raises(ServingError, match=r"Servable not found for request: Latest\(m\)"):
            models.find(spec())
        add(tmp_path, 1)
        await until(models, lambda: bool(models.available("m")))

    with_models(scenario)


def test_an_unreadable_base_path_unloads_nothing(tmp_path):
    base = tmp_path / "base"
    add(base, 1)

    async def scenario(models: Models) -> None:
        await models.configure(config(base))
        base.rename(tmp_path / "gone")
        await models.configure(config(base))
        assert models.find(spec()).number == 1

    with_models(scenario)


def test_a_version_asked_for_again_while_its_calls_run_is_loaded_again(tmp_path):
    add(tmp_path, 1, 2)
    both = "model_version_policy { specific { versions: 1 versions: 2 } }"
    stable = "model_version_policy { specific { versions: 1 } }"

    async def scenario(models: Models) -> None:
        await models.start(config(tmp_path, both))
        await until(models, lambda: len(models.available("m")) == 2)
        old = models.find(spec(version=2))
        old.acquire()
        await models.configure(config(tmp_path, stable))
        assert states(models)[2] == "UNLOADING"
        await models.configure(config(tmp_path, both))
        old.release()
        await until(models, lambda: len(models.available("m")) == 2)
        assert old.servable.is_closed
        assert models.find(spec(version=2)) is not old

    with_models(scenario)


def test_no_models_and_then_the_old_ones_serves_the_old_ones(tmp_path):
    add(tmp_path, 1)

    async def scenario(models: Models) -> None:
        await models.start(config(tmp_path))
        old = models.find(spec())
        old.acquire()
        await models.configure(no_models())
        again = asyncio.create_task(models.configure(config(tmp_path)))
        await models.poll()
        assert not again.done(), "the old copy is still in memory"
        old.release()
        await asyncio.wait_for(again, 10)
        assert models.find(spec()).number == 1

    with_models(scenario)


def test_a_model_that_was_served_once_and_is_broken_now_is_refused(tmp_path):
    add(tmp_path, 1)

    async def scenario(models: Models) -> None:
        await models.start(config(tmp_path))
        await models.configure(no_models())
        await until(models, lambda: states(models)[1] == "END")
        add(tmp_path, 2, broken=True)
        with pytest.raises(ServingError, match="version 2 is broken"):
            await asyncio.wait_for(models.configure(config(tmp_path)), 10)

    with_models(scenario)


def test_a_config_with_a_new_model_that_fails_to_load_changes_nothing(tmp_path):
    add(tmp_path / "m", 1, 2)
    add(tmp_path / "good", 1)
    add(tmp_path / "bad", 1, broken=True)
    old = config(tmp_path / "m", labels='version_labels { key: "stable" value: 2 }')
    new = text_format.Parse(
        f"""model_config_list {{
          config {{ name: "good" base_path: "{tmp_path}/good" model_platform: "tensorflow" }}
          config {{ name: "bad" base_path: "{tmp_path}/bad" model_platform: "tensorflow" }}
        }}""",
        model_server_config_pb2.ModelServerConfig(),
    )

    async def scenario(models: Models) -> None:
        await models.start(config(tmp_path / "m"))
        await models.configure(old)
        served = models.find(spec(label="stable"))
        with pytest.raises(ServingError, match=r"\{bad\}: version 1 is broken"):
            await models.configure(new)
        assert models.find(spec(label="stable")) is served
        assert models.names() == ["m"]
        await until(models, lambda: models.versions("good")[0].state is VersionState.END)
        assert models.available("good") == {}
        add(tmp_path / "good", 2)
        await models.poll()
        assert models.available("good") == {}, "the model of a rejected config is not polled"

    with_models(scenario)


def test_a_config_of_a_stopped_server_leaves_nothing_loaded(tmp_path):
    add(tmp_path, 1)
    loads, may_end = threading.Event(), threading.Event()

    def slow(model: str, number: int, path: str) -> LoadedVersion:
        loads.set()
        may_end.wait(10)
        return load(model, number, path)

    async def run() -> None:
        models = Models(slow, NO_WAITING)
        await models.start(no_models())
        configuring = asyncio.create_task(models.configure(config(tmp_path)))
        await asyncio.to_thread(loads.wait, 10)
        configuring.cancel()
        await asyncio.wait({configuring})
        may_end.set()
        await asyncio.wait_for(models.close(), 10)
        assert states(models) == {1: "END"}

    asyncio.run(run())


def test_base_paths_are_polled_while_a_config_waits_for_its_models(tmp_path):
    add(tmp_path / "m", 1)
    add(tmp_path / "slow", 1)
    may_end = threading.Event()

    def slow(model: str, number: int, path: str) -> LoadedVersion:
        if model == "slow":
            may_end.wait(10)
        return load(model, number, path)

    both = config(tmp_path / "m")
    both.model_config_list.config.add(
        name="slow", base_path=str(tmp_path / "slow"), model_platform="tensorflow"
    )

    async def run() -> None:
        models = Models(slow, dataclasses.replace(NO_WAITING, load_threads=2))
        await models.start(config(tmp_path / "m"))
        configuring = asyncio.create_task(models.configure(both))
        add(tmp_path / "m", 2)
        await models.poll()
        await until(models, lambda: models.find(spec()).number == 2)
        assert not configuring.done()
        may_end.set()
        await configuring
        await models.close()

    asyncio.run(run())


def test_a_version_unloads_while_another_loads(tmp_path):
    add(tmp_path, 1, 2)
    may_end = threading.Event()

    def slow(model: str, number: int, path: str) -> LoadedVersion:
        if number == 3:
            may_end.wait(10)
        return load(model, number, path)

    async def run() -> None:
        models = Models(slow, NO_WAITING)
        await models.start(config(tmp_path, "model_version_policy { all {} }"))
        await until(models, lambda: len(models.available("m")) == 2)
        add(tmp_path, 3)
        (tmp_path / "1").rmdir()
        await models.poll()
        await until(models, lambda: states(models)[1] == "END")
        assert states(models) == {1: "END", 2: "AVAILABLE", 3: "LOADING"}
        may_end.set()
        await models.close()

    asyncio.run(run())


def test_a_load_that_fails_unexpectedly_is_reported_as_any_other(tmp_path):
    add(tmp_path, 1)

    def failing(model: str, number: int, path: str) -> LoadedVersion:
        raise MemoryError("no more")

    async def run() -> None:
        models = Models(failing, NO_WAITING)
        await models.start(config(tmp_path))
        (version,) = models.versions("m")
        assert (version.state, str(version.error)) == (VersionState.END, "MemoryError: no more")
        await models.close()

    asyncio.run(run())


def test_a_failed_load_leaves_only_its_error_in_memory(tmp_path):
    add(tmp_path, 1)
    half_loaded = []

    def failing(model: str, number: int, path: str) -> LoadedVersion:
        servable = Closable()
        half_loaded.append(weakref.ref(servable))
        raise ServingError("DATA_LOSS", "half of it is missing")

    async def run() -> None:
        models = Models(failing, NO_WAITING)
        await models.start(config(tmp_path))
        assert str(models.versions("m")[0].error) == "half of it is missing"
        gc.collect()
        assert half_loaded[0]() is None
        await models.close()

    asyncio.run(run())


def test_an_empty_config_is_rejected_once_models_are_served(tmp_path):
    add(tmp_path, 1)

    async def scenario(models: Models) -> None:
        await models.start(config(tmp_path))
        with pytest.raises(ServingError, match="Cannot transition to requested config") as caught:
            await models.configure(model_server_config_pb2.ModelServerConfig())
        assert caught.value.code == "FAILED_PRECONDITION"
        assert models.find(spec()).number == 1

    with_models(scenario)


def test_labels_name_versions_and_move(tmp_path):
    add(tmp_path, 1, 2)
    policy = "model_version_policy { all {} }"
    stable = 'version_labels {{ key: "stable" value: {} }}'

    async def scenario(models: Models) -> None:
        await models.configure(config(tmp_path, policy))
        await until(models, lambda: len(models.available("m")) == 2)
        await models.configure(config(tmp_path, policy, stable.format(1)))
        assert models.find(spec(label="stable")).number == 1
        await models.configure(config(tmp_path, policy, stable.format(2)))
        assert models.find(spec(label="stable")).number == 2
        with pytest.raises(ServingError, match="Unrecognized servable version label: canary"):
            models.find(spec(label="canary"))
        with pytest.raises(ServingError, match="not currently available for inference"):
            await models.configure(config(tmp_path, policy, stable.format(9)))
        assert models.find(spec(label="stable")).number == 2, "a refused config changes nothing"

    with_models(scenario)


@pytest.mark.parametrize(
    ("options", "allows_new", "allows_moved"),
    [
        (DEFAULTS, False, False),
        (replace(DEFAULTS, allow_new_labels=True), True, False),
        (replace(DEFAULTS, allow_any_labels=True), True, True),
    ],
)
def test_labels_for_unavailable_versions_need_an_option(
    tmp_path, options, allows_new, allows_moved
):
    add(tmp_path, 1)

    async def scenario(models: Models) -> None:
        await models.configure(config(tmp_path))
        for allowed, label, number in (
            (allows_new, "new", 7),
            (True, "set", 1),
            (allows_moved, "set", 7),
        ):
            labels = f'version_labels {{ key: "{label}" value: {number} }}'
            refused = False
            try:
                await models.configure(config(tmp_path, labels=labels))
            except ServingError:
                refused = True
            assert refused is not allowed

    with_models(scenario, options)


def test_a_model_that_is_no_longer_configured_is_unloaded(tmp_path):
    add(tmp_path, 1)

    async def scenario(models: Models) -> None:
        await models.configure(config(tmp_path))
        await models.configure(no_models())
        await until(models, lambda: states(models)[1] == "END")
        assert models.names() == []

    with_models(scenario)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('config { name: "m" base_path: "rel" model_platform: "tensorflow" }', "absolute path"),
        (
            'config { name: "m" base_path: "gs://b/m" model_platform: "tensorflow" }',
            "gs://b/m is not a directory of this machine",
        ),
        ('config { name: "m" base_path: "/x" }', "nor ModelServerConfig::model_platform"),
        ('config { name: "m" base_path: "/x" model_platform: "caffe" }', "unsupported platform"),
        (
            'config { name: "m" base_path: "/x" model_platform: "tensorflow" '
            "model_type: TENSORFLOW }",
            "both ModelServerConfig::model_type",
        ),
        ('config { name: "m" base_path: "/x" model_type: OTHER }', "model_type choice 2 not"),
        ('config { base_path: "/x" model_platform: "tensorflow" }', "no name"),
        (
            'config { name: "m" base_path: "/x" model_platform: "tensorflow" }'
            'config { name: "m" base_path: "/y" model_platform: "tensorflow" }',
            "multiple times",
        ),
    ],
)
def test_an_invalid_config_is_rejected(text, message):
    wrong = text_format.Parse(
        f"model_config_list {{ {text} }}", model_server_config_pb2.ModelServerConfig()
    )

    async def scenario(models: Models) -> None:
        with pytest.raises(ServingError, match=message) as caught:
            await models.configure(wrong)
        assert caught.value.code == "INVALID_ARGUMENT"

    with_models(scenario)


def test_only_directories_with_numbers_for_names_are_versions(tmp_path):
    for name in ("7", "0008", ".staging-9", "9.tmp", "v10", "-1", "9" * 20):
        (tmp_path / name).mkdir()
    (tmp_path / "11").touch()
    assert versions_on_disk(str(tmp_path)) == {
        7: str(tmp_path / "7"),
        8: str(tmp_path / "0008"),
    }


@pytest.mark.parametrize(
    ("names", "chosen"), [(("7", "007", "0007"), "7"), (("007", "0007"), "007")]
)
def test_of_two_names_for_a_version_the_last_in_order_counts(tmp_path, names, chosen):
    for name in names:
        (tmp_path / name).mkdir()
    assert versions_on_disk(str(tmp_path)) == {7: str(tmp_path / chosen)}


def test_state_numbers_are_those_of_the_api():
    from tensorflow_serving.apis import get_model_status_pb2

    for state in VersionState:
        named = get_model_status_pb2.ModelVersionStatus.State.Value(state.name)
        assert named == state.value
