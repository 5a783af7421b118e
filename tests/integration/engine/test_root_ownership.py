"""Two metadata stores and one pipeline root, by the command line."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from support import warm

from prodml.metadata.store import Store
from prodml.orchestration.ownership.leases import hold
from prodml.orchestration.ownership.root_ownership import adopt, claim, owner, owner_of

PIPELINE = """
import os
from pathlib import Path
from prodml import Input, Output, Parameter, component, pipeline
from prodml.artifacts import Schema

@component
def First(made: Output[Schema], number: Parameter[int] = 1):
    Path(made.uri, "text").write_text(f"first {number}")

@component
def Second(source: Input[Schema], made: Output[Schema], other: Parameter[int] = 1):
    if os.path.exists("die"):
        os._exit(9)
    Path(made.uri, "text").write_text("second")

@pipeline(name="steps")
def steps(number: int = 1, other: int = 1):
    Second(source=First(number=number).outputs["made"], other=other)
"""


class Workplace:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "pipeline.py").write_text(PIPELINE)
        for name in ("ours", "theirs"):
            (root / f"{name}.yaml").write_text(f"home: {name}\npipeline_root: root\n")

    def prodml(self, *arguments: str, code: int = 0, config: str = "ours", say: str = "") -> str:
        ran = warm.run(
            [sys.executable, "-m", "prodml", *arguments, "--config", f"{config}.yaml"],
            cwd=self.root, capture_output=True, text=True, timeout=120, input=say,
        )  # fmt: skip
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def files(self) -> dict[str, bytes]:
        root = self.root / "root"
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture
def work(tmp_path: Path) -> Workplace:
    work = Workplace(tmp_path)
    work.prodml("run", "pipeline.py")
    return work


def test_a_second_store_is_refused_and_changes_nothing(work: Workplace) -> None:
    before = work.files()
    said = work.prodml("run", "pipeline.py", config="theirs", code=2)
    assert f"belongs to another metadata store, {work.root}/ours/metadata.db" in said
    assert "prodml root adopt" in said
    assert work.files() == before
    assert "RUNNING" not in work.prodml("runs", config="theirs")
    assert "2 cached" in work.prodml("run", "pipeline.py")


def test_a_recreated_store_does_not_remove_artifacts_of_the_old_one(work: Workplace) -> None:
    before = work.files()
    shutil.rmtree(work.root / "ours")
    assert "belongs to another" in work.prodml("run", "pipeline.py", code=2)
    (work.root / "root" / ".prodml-root.json").unlink()
    said = work.prodml("run", "pipeline.py", code=2)
    assert "does not know, such as" in said and "/made/" in said
    assert {k: v for k, v in before.items() if "root.json" not in k} == work.files()


def test_an_adopted_root_keeps_its_artifacts(work: Workplace) -> None:
    before = work.files()
    assert "the stores differ" in work.prodml("root", "status", config="theirs")
    work.prodml("root", "adopt", config="theirs", code=1, say="n\n")
    assert work.files() == before
    said = work.prodml("root", "adopt", "--yes", config="theirs")
    (aside,) = (work.root / "root").glob(".set-aside-*")
    assert f"artifacts of the other store are in {aside}" in said
    kept = {str(p.relative_to(aside)): p.read_bytes() for p in aside.rglob("*") if p.is_file()}
    assert kept == {k: v for k, v in before.items() if "root.json" not in k}
    assert "2 complete" in work.prodml("run", "pipeline.py", config="theirs")
    shown = json.loads(work.prodml("root", "status", "--json", config="theirs"))
    assert shown["is_own"] and shown["belongs_to"] == f"{work.root}/theirs/metadata.db"
    assert "belongs to another" in work.prodml("run", "pipeline.py", code=2)


def test_adopting_ones_own_root_moves_nothing(work: Workplace) -> None:
    before = work.files()
    with hold(lambda: Store(str(work.root / "ours/metadata.db")), "steps", "run-1"):
        work.prodml("root", "adopt", "--yes")
    assert work.files() == before


def test_a_store_that_lost_its_marker_takes_its_root_again(work: Workplace) -> None:
    (work.root / "root" / ".prodml-root.json").unlink()
    assert "2 cached" in work.prodml("run", "pipeline.py")
    assert f"belongs to     {work.root}/ours/metadata.db" in work.prodml("root", "status")


def test_a_damaged_marker_is_refused_and_rewritten_on_purpose(work: Workplace) -> None:
    before = work.files()
    (work.root / "root" / ".prodml-root.json").write_text("{")
    assert "is damaged" in work.prodml("run", "pipeline.py", code=2)
    work.prodml("root", "adopt", "--yes")
    assert work.files() == before
    assert "2 cached" in work.prodml("run", "pipeline.py")


def test_adopting_moves_only_what_the_store_does_not_know(work: Workplace) -> None:
    own = work.files()
    (work.root / "root" / ".prodml-root.json").unlink()
    foreign = work.root / "root/steps/First/made/77"
    shutil.copytree(work.root / "root/steps/First/made/1", foreign)
    staging = work.root / "root/steps/First/.staging-78"
    staging.mkdir()
    assert "does not know, such as" in work.prodml("run", "pipeline.py", code=2)
    work.prodml("root", "adopt", "--yes")
    (aside,) = (work.root / "root").glob(".set-aside-*")
    assert (aside / "steps/First/made/77/text").exists()
    assert (aside / "steps/First/.staging-78").exists()
    assert not foreign.exists() and not staging.exists()
    assert {name: work.files()[name] for name in own} == own
    assert "2 cached" in work.prodml("run", "pipeline.py")


def test_a_root_in_which_a_run_publishes_is_not_adopted(work: Workplace) -> None:
    (work.root / "root" / ".prodml-root.json").write_text("{")
    before = work.files()
    with hold(lambda: Store(str(work.root / "ours/metadata.db")), "steps", "run-1"):
        said = work.prodml("root", "adopt", "--yes", code=2)
    assert "pipeline steps is in use: run-1" in said
    assert work.files() == before


def test_adopting_is_finished_when_it_is_repeated_after_a_kill(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = work.files()
    moved: list[str] = []

    def killed(old: str, new: str) -> None:
        if moved:
            raise KeyboardInterrupt
        moved.append(old)
        real(old, new)

    real = os.rename
    monkeypatch.setattr(os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        adopt(str(work.root / "root"), lambda: Store(str(work.root / "theirs/metadata.db")))
    monkeypatch.undo()
    assert "belongs to another" in work.prodml("run", "pipeline.py", config="theirs", code=2)
    work.prodml("root", "adopt", "--yes", config="theirs")
    kept = {p.relative_to(a): p for a in (work.root / "root").glob(".set-*") for p in a.rglob("*")}
    assert {str(p) for p in kept} >= {name for name in before if "root.json" not in name}
    assert "2 complete" in work.prodml("run", "pipeline.py", config="theirs")


@pytest.mark.parametrize("root", ["root/", "./x/../root", "file://{here}/root", "link"])
def test_a_root_is_the_same_however_it_is_written(work: Workplace, root: str) -> None:
    (work.root / "x").mkdir()
    (work.root / "link").symlink_to("root")
    (work.root / "ours.yaml").write_text(
        f"home: ours\npipeline_root: {root}\n".format(here=work.root)
    )
    shown = json.loads(work.prodml("root", "status", "--json"))
    assert shown["is_own"] and shown["pipeline_root"].startswith(str(work.root))
    assert "2 cached" in work.prodml("run", "pipeline.py")


def test_a_filesystem_without_hard_links_can_hold_a_root(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(old: str, new: str) -> None:
        raise PermissionError(1, "Operation not permitted", old, None, new)

    monkeypatch.setattr(os, "link", refuse)
    store = Store(str(work.root / "ours/metadata.db"))
    claim(str(work.root / "fat"), owner(store), lambda place: False)
    claim(str(work.root / "fat"), owner(store), lambda place: False)
    assert owner_of(str(work.root / "fat")) == owner(store)
    assert [p.name for p in (work.root / "fat").iterdir()] == [".prodml-root.json"]


def test_a_copied_store_meets_directories_of_the_first_and_leaves_them(work: Workplace) -> None:
    shutil.copytree(work.root / "ours", work.root / "theirs")
    work.prodml("run", "pipeline.py", "--param", "number=2")
    before = work.files()
    said = work.prodml("run", "pipeline.py", "--param", "number=3", config="theirs", code=1)
    assert "exists already, but is not in the metadata store in use" in said
    assert work.files() == before
    assert "2 cached" in work.prodml("run", "pipeline.py", "--param", "number=2")


def test_what_a_copied_store_cleans_up_is_its_own(work: Workplace) -> None:
    shutil.copy(work.root / "ours/metadata.db", work.root / "before.db")
    shutil.copytree(work.root / "ours", work.root / "theirs")
    (work.root / "die").touch()
    work.prodml("run", "pipeline.py", "--param", "number=3", config="theirs", code=9)
    (work.root / "die").unlink()
    # Of the same id as the execution that died, whose staging directory is in the way first.
    said = work.prodml("run", "pipeline.py", "--param", "other=2", code=1)
    assert "Second/.staging-4 exists already" in said
    shutil.rmtree(work.root / "root/steps/Second/.staging-4")
    shutil.copy(work.root / "before.db", work.root / "ours/metadata.db")
    work.prodml("run", "pipeline.py", "--param", "other=2")
    assert (work.root / "root/steps/Second/made/4").exists()
    before = work.files()
    work.prodml("run", "--resume", config="theirs")
    after = work.files()
    assert {name: after.get(name) for name in before} == before


def test_a_collection_by_a_store_that_does_not_own_the_root_removes_nothing(
    work: Workplace,
) -> None:
    work.prodml("run", "pipeline.py", "--no-cache")
    work.prodml("root", "adopt", "--yes", config="theirs")
    (aside,) = (work.root / "root").glob(".set-aside-*")
    (aside / "steps").rename(work.root / "root" / "steps")
    before = work.files()
    said = work.prodml("gc", "--keep-last", "1", "--delete")
    assert "0 directories" in said and "belongs to another store" in said
    assert work.files() == before
