"""Two metadata stores and one pipeline root, by the command line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PIPELINE = """
import os
from prodml import Input, Output, Parameter, component, pipeline
from prodml.artifacts import Schema

@component
def First(made: Output[Schema], number: Parameter[int] = 1):
    open(os.path.join(made.uri, "text"), "w").write(f"first {number}")

@component
def Second(source: Input[Schema], made: Output[Schema], other: Parameter[int] = 1):
    if os.path.exists("die"):
        os._exit(9)
    open(os.path.join(made.uri, "text"), "w").write("second")

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
        ran = subprocess.run(
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
    assert "belongs to another metadata store, ours/metadata.db" in said
    assert "prodml root adopt" in said
    assert work.files() == before
    assert "RUNNING" not in work.prodml("runs", config="theirs")
    assert "2 cached" in work.prodml("run", "pipeline.py")


def test_a_store_made_anew_does_not_remove_what_the_old_one_published(work: Workplace) -> None:
    before = work.files()
    shutil.rmtree(work.root / "ours")
    assert "belongs to another" in work.prodml("run", "pipeline.py", code=2)
    (work.root / "root" / ".prodml-root.json").unlink()
    said = work.prodml("run", "pipeline.py", code=2)
    assert "does not know, such as" in said and "/made/" in said
    assert {k: v for k, v in before.items() if "root.json" not in k} == work.files()


def test_a_root_is_adopted_on_purpose_and_keeps_what_was_there(work: Workplace) -> None:
    before = work.files()
    assert "these are two stores" in work.prodml("root", "status", config="theirs")
    work.prodml("root", "adopt", config="theirs", code=1, say="n\n")
    assert work.files() == before
    said = work.prodml("root", "adopt", "--yes", config="theirs")
    (aside,) = (work.root / "root").glob(".set-aside-*")
    assert f"what was there is in {aside}" in said
    kept = {str(p.relative_to(aside)): p.read_bytes() for p in aside.rglob("*") if p.is_file()}
    assert kept == {k: v for k, v in before.items() if "root.json" not in k}
    assert "2 complete" in work.prodml("run", "pipeline.py", config="theirs")
    shown = json.loads(work.prodml("root", "status", "--json", config="theirs"))
    assert shown["is_own"] and shown["belongs_to"] == "theirs/metadata.db"
    assert "belongs to another" in work.prodml("run", "pipeline.py", code=2)


def test_adopting_ones_own_root_moves_nothing(work: Workplace) -> None:
    before = work.files()
    work.prodml("root", "adopt", "--yes")
    assert work.files() == before


def test_a_store_that_lost_its_marker_takes_its_root_again(work: Workplace) -> None:
    (work.root / "root" / ".prodml-root.json").unlink()
    assert "2 cached" in work.prodml("run", "pipeline.py")
    assert "belongs to     ours/metadata.db" in work.prodml("root", "status")


def test_a_damaged_marker_is_refused(work: Workplace) -> None:
    (work.root / "root" / ".prodml-root.json").write_text("{")
    assert "is damaged" in work.prodml("run", "pipeline.py", code=2)
    work.prodml("root", "adopt", "--yes")
    assert "2 complete" in work.prodml("run", "pipeline.py", "--no-cache")


def test_a_copied_store_meets_directories_of_the_first_and_leaves_them(work: Workplace) -> None:
    shutil.copytree(work.root / "ours", work.root / "theirs")
    work.prodml("run", "pipeline.py", "--param", "number=2")
    before = work.files()
    said = work.prodml("run", "pipeline.py", "--param", "number=3", config="theirs", code=1)
    assert "exists already, and the metadata store in use does not know it" in said
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
    assert "0 directories" in said and "is another store's" in said
    assert work.files() == before
