"""After any order of requests, loads, failures and calls, the last wanted versions are served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from prodml.errors import ServingError
from prodml.serving.models.model_version import LoadedVersion, Stage, Version, VersionState
from prodml.serving.models.reconciler import Action, Load, Reconciler, Unload

RETRIES, PAUSE = 2, 60.0
NUMBERS = st.integers(1, 4)
WANTED = st.dictionaries(NUMBERS, st.sampled_from(["/a", "/b"]), max_size=3)
BROKEN = ServingError("DATA_LOSS", "broken")


class Nothing:
    signatures: ClassVar[Mapping[str, Any]] = {}

    def run(self, feeds: Any, fetches: Any) -> list[Any]:
        return []

    def close(self) -> None:
        pass


def loaded(version: Version) -> LoadedVersion:
    return LoadedVersion("m", version.number, Nothing(), {})


class AnyHistory(RuleBasedStateMachine):
    """Simulates a server: runs the actions in any order, at any time, with any outcome."""

    def __init__(self) -> None:
        super().__init__()
        self.reconciler = Reconciler(RETRIES, PAUSE)
        self.now = 0.0
        self.loads: list[Version] = []
        self.unloads: list[Version] = []

    def do(self, actions: list[Action]) -> None:
        for action in actions:
            assert action.version not in self.loads + self.unloads, "it has an action already"
            if isinstance(action, Load):
                self.loads.append(action.version)
            else:
                self.unloads.append(action.version)

    @rule(wanted=WANTED)
    def ask(self, wanted: dict[int, str]) -> None:
        before = self.reconciler.available.keys()
        self.do(self.reconciler.want(wanted))
        after = self.reconciler.available.keys()
        assert before & wanted.keys() <= after, "a version that is still wanted answers on"
        assert not wanted or not before or after, "something answers until its successor does"

    @precondition(lambda self: self.loads)
    @rule(data=st.data(), succeeds=st.booleans())
    def a_load_ends(self, data: st.DataObject, succeeds: bool) -> None:
        version = data.draw(st.sampled_from(self.loads))
        before = self.reconciler.available.keys()
        self.end_load(version, succeeds)
        wanted = self.reconciler.wanted
        assert before & wanted.keys() <= self.reconciler.available.keys()
        assert not before or self.reconciler.available

    @precondition(lambda self: self.unloads)
    @rule(data=st.data())
    def the_last_call_of_a_version_returns(self, data: st.DataObject) -> None:
        self.end_unload(data.draw(st.sampled_from(self.unloads)))

    @rule(seconds=st.sampled_from([1.0, PAUSE]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        due = self.reconciler.next_retry
        if due is not None and due <= self.now:
            self.do(self.reconciler.retry(self.now))

    @invariant()
    def what_answers_was_loaded_and_is_not_unloading(self) -> None:
        for version in self.reconciler.versions:
            assert (version.loaded is not None) == (version.state is VersionState.AVAILABLE)
            assert version.loaded is None or version not in self.unloads

    @invariant()
    def each_directory_is_in_memory_at_most_once(self) -> None:
        in_memory = [(v.number, v.path) for v in self.loads + self.unloads]
        assert len(in_memory) == len(set(in_memory))

    @invariant()
    def every_version_in_progress_has_one_action(self) -> None:
        for version in self.reconciler.versions:
            if version.stage is Stage.LOADING:
                assert version in self.loads
            if version.stage is Stage.UNLOADING:
                assert version in self.loads + self.unloads
            if version.stage is Stage.RETRYING:
                assert self.reconciler.next_retry is not None

    def end_load(self, version: Version, succeeds: bool) -> None:
        self.loads.remove(version)
        if succeeds:
            self.do(self.reconciler.load_succeeded(version, loaded(version)))
        else:
            self.do(self.reconciler.load_failed(version, BROKEN, self.now))

    def end_unload(self, version: Version) -> None:
        self.unloads.remove(version)
        self.do(self.reconciler.unloaded(version))

    def teardown(self) -> None:
        """If every load succeeds from now on, the last wanted versions are served."""
        failed = {v.number for v in self.reconciler.versions if v.stage is Stage.FAILED}
        for _ in range(50):
            for version in list(self.loads):
                self.end_load(version, succeeds=True)
            for version in list(self.unloads):
                self.end_unload(version)
            self.time_passes(PAUSE)
        assert not self.loads + self.unloads, "every action ends"
        wanted = self.reconciler.wanted
        if not failed:
            assert self.reconciler.available.keys() == wanted.keys()
        assert self.reconciler.available.keys() >= wanted.keys() - failed
        self.do(self.reconciler.want({}))
        for version in list(self.unloads):
            self.end_unload(version)
        assert self.reconciler.has_ended


TestAnyHistory = AnyHistory.TestCase


def begun(actions: list[Action]) -> Version:
    (action,) = actions
    assert isinstance(action, Load)
    return action.version


def available(reconciler: Reconciler, **paths: str) -> dict[int, Version]:
    versions = {}
    for action in reconciler.want({int(name.removeprefix("v")): p for name, p in paths.items()}):
        reconciler.load_succeeded(action.version, loaded(action.version))
        versions[action.version.number] = action.version
    return versions


def test_a_version_asked_for_again_while_it_unloads_is_loaded_when_it_has_ended() -> None:
    reconciler = Reconciler(RETRIES, PAUSE)
    versions = available(reconciler, v1="/a/1", v2="/a/2")
    (unload,) = reconciler.want({1: "/a/1"})
    assert isinstance(unload, Unload)
    assert reconciler.want({1: "/a/1", 2: "/a/2"}) == []
    again = begun(reconciler.unloaded(versions[2]))
    assert again.number == 2
    reconciler.load_succeeded(again, loaded(again))
    assert reconciler.available.keys() == {1, 2}


def test_a_version_that_is_no_longer_wanted_when_loaded_is_unloaded_at_once() -> None:
    reconciler = Reconciler(RETRIES, PAUSE)
    first = begun(reconciler.want({1: "/a/1"}))
    second = begun(reconciler.want({2: "/a/2"}))
    (unload,) = reconciler.load_succeeded(first, loaded(first))
    assert isinstance(unload, Unload)
    assert (reconciler.available, first.state) == ({}, VersionState.UNLOADING)
    assert reconciler.unloaded(first) == []
    reconciler.load_succeeded(second, loaded(second))
    assert reconciler.available.keys() == {2}


def test_a_base_path_that_moves_replaces_the_version_of_the_same_number() -> None:
    reconciler = Reconciler(RETRIES, PAUSE)
    old = available(reconciler, v1="/a/1")[1]
    new = begun(reconciler.want({1: "/b/1"}))
    assert reconciler.available[1] is old.loaded
    (unload,) = reconciler.load_succeeded(new, loaded(new))
    assert unload.version is old
    assert reconciler.available[1] is new.loaded


def test_a_failed_load_is_retried_after_a_pause_until_no_retry_is_left() -> None:
    reconciler = Reconciler(max_retries=1, retry_seconds=PAUSE)
    version = begun(reconciler.want({1: "/a/1"}))
    assert reconciler.load_failed(version, BROKEN, now=10.0) == []
    assert (version.state, reconciler.next_retry) == (VersionState.LOADING, 10.0 + PAUSE)
    assert reconciler.retry(now=10.0 + PAUSE) == [Load(version)]
    reconciler.load_failed(version, BROKEN, now=100.0)
    assert (version.state, version.error, reconciler.next_retry) == (VersionState.END, BROKEN, None)


def test_a_failed_version_is_loaded_when_it_is_wanted_again() -> None:
    reconciler = Reconciler(max_retries=0, retry_seconds=PAUSE)
    version = begun(reconciler.want({1: "/a/1"}))
    reconciler.load_failed(version, BROKEN, now=0.0)
    assert reconciler.want({1: "/a/1", 2: "/a/2"})[0].version.number == 2
    reconciler.want({2: "/a/2"})
    again = begun(reconciler.want({1: "/a/1", 2: "/a/2"}))
    assert (again.number, again.error) == (1, None)


def test_the_newest_version_is_loaded_first() -> None:
    actions = Reconciler(RETRIES, PAUSE).want({1: "/a/1", 3: "/a/3", 2: "/a/2"})
    assert [action.version.number for action in actions] == [3, 2, 1]


def test_a_version_is_loading_while_it_waits_for_a_thread() -> None:
    reconciler = Reconciler(RETRIES, PAUSE)
    reconciler.want({1: "/a/1", 2: "/a/2"})
    assert [version.state for version in reconciler.versions] == [VersionState.LOADING] * 2


def test_every_old_version_answers_until_the_new_one_does() -> None:
    reconciler = Reconciler(RETRIES, PAUSE)
    available(reconciler, v1="/a/1", v2="/a/2", v3="/a/3")
    new = begun(reconciler.want({4: "/a/4"}))
    assert reconciler.available.keys() == {1, 2, 3}
    unloads = reconciler.load_succeeded(new, loaded(new))
    assert {unload.version.number for unload in unloads} == {1, 2, 3}
    assert reconciler.available.keys() == {4}
