"""A cached push is compared with its destination, including in an object store."""

from pathlib import Path
from typing import Any

import pytest

from prodml.artifacts import PushedModel
from prodml.components.pusher import object_versions, versions
from prodml.components.pusher.component import PushDestination
from prodml.components.pusher.destination import push_of, versions_at
from prodml.components.pusher.driver import judge_cached
from prodml.dsl.executor import CachedResult, CacheVerdict
from prodml.errors import StorageError
from prodml.storage import objects

BUCKET = "memory://bucket"


@pytest.fixture(params=["directory", "object store"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "directory":
        return str(tmp_path / "serving")
    return f"{BUCKET}/{tmp_path.name}"


class Pushes:
    def __init__(self, root: Path, base: str) -> None:
        self.root, self.base = root, base

    def push(self, weights: str, origin: str) -> int:
        source = self.root / weights
        source.mkdir(exist_ok=True)
        (source / "saved_model.pb").write_text(weights)
        push: Any = object_versions if "://" in self.base else versions
        return int(push.push_version(str(source), self.base, origin))

    def judge(self, version: int, pushed: int = 1) -> CacheVerdict:
        destination = PushDestination(PushDestination.Filesystem(base_directory=self.base))
        properties = {"pushed": pushed, "pushed_version": str(version)}
        return judge_cached(
            CachedResult(
                "flights",
                "Pusher",
                {"push_destination": destination},
                {"pushed_model": [PushedModel(custom_properties=properties)]},
            )
        )


@pytest.fixture
def pushes(tmp_path: Path, base: str) -> Pushes:
    return Pushes(tmp_path, base)


def test_versions_at_a_destination_have_their_origin(pushes: Pushes) -> None:
    assert versions_at(pushes.base) == []
    first = pushes.push("good", "flights/run-1/Pusher")
    second = pushes.push("bad", "others/run-2/Push")
    assert versions_at(pushes.base) == [first, second]
    found = push_of(pushes.base, second)
    assert found and (found.pipeline, found.node) == ("others", "Push")
    assert push_of(pushes.base, second + 1) is None


def test_the_newest_version_is_not_pushed_again(pushes: Pushes) -> None:
    assert pushes.judge(pushes.push("good", "flights/run-1/Pusher")) == CacheVerdict()


def test_a_model_is_pushed_again_after_a_later_push_of_the_same_node(pushes: Pushes) -> None:
    first = pushes.push("good", "flights/run-1/Pusher")
    second = pushes.push("bad", "flights/run-2/Pusher")
    verdict = pushes.judge(first)
    assert verdict.run_again and f"version {second} in {pushes.base} is newer" in verdict.run_again


def test_a_newer_version_with_the_same_content_is_accepted(pushes: Pushes) -> None:
    first = pushes.push("good", "flights/run-1/Pusher")
    pushes.push("good", "flights/run-2/Pusher")
    assert pushes.judge(first) == CacheVerdict()


@pytest.mark.parametrize("origin", ["flights/run-2/OtherPusher", "others/run-2/Pusher"])
def test_a_later_push_of_another_node_or_pipeline_is_kept(pushes: Pushes, origin: str) -> None:
    first = pushes.push("good", "flights/run-1/Pusher")
    pushes.push("bad", origin)
    verdict = pushes.judge(first)
    pipeline, _, node = origin.split("/")
    assert verdict.run_again is None and verdict.superseded
    assert f"pushed by {node} of pipeline {pipeline}, is newer" in verdict.superseded


def test_a_model_that_was_not_pushed_is_not_searched(pushes: Pushes) -> None:
    assert pushes.judge(0, pushed=0) == CacheVerdict()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"origin": 1}', '{"origin": "a/b"}', "\xff"])
def test_an_invalid_push_file_is_ignored(tmp_path: Path, content: str) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / versions.PUSH_FILE).write_text(content, encoding="latin-1")
    assert push_of(str(tmp_path), 7) is None


def test_an_incomplete_version_in_an_object_store_is_ignored(tmp_path: Path) -> None:
    base = f"{BUCKET}/{tmp_path.name}"
    objects.write(f"{base}/9/variables/variables.index", b"index")
    objects.write(f"{base}/.prodml-claim-9", b"{}")
    assert versions_at(base) == []


def test_a_destination_that_cannot_be_listed_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "serving").write_text("a file")
    with pytest.raises(StorageError, match=r"serving: Not a directory; its versions cannot be"):
        versions_at(str(tmp_path / "serving"))
