"""What is published holds the components, and no file can be imported under two names."""

import importlib.util
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_components_cannot_be_imported_at_the_top_level() -> None:
    code = "import importlib.util, prodml; print(importlib.util.find_spec('components'))"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "None"
    assert importlib.util.find_spec("prodml.components") is not None


def build(kind: str, source: Path, target: Path) -> Path:
    code = f"from setuptools.build_meta import *; print(build_{kind}({str(target)!r}))"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=True
    )
    return target / ran.stdout.splitlines()[-1]


def test_the_wheel_made_from_the_sdist_brings_the_components(tmp_path: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    tree = tmp_path / "tree"
    for name in filter(None, listed):
        source = ROOT / name
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            (tree / name).symlink_to(os.readlink(source))
        elif source.is_file():
            (tree / name).write_bytes(source.read_bytes())
    sdist = build("sdist", tree, tmp_path)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "sdist", filter="data")
    (unpacked,) = (tmp_path / "sdist").iterdir()
    wheel = build("wheel", unpacked, tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert "prodml/components/statistics_gen/executor.py" in names
        assert "prodml/serving/registered_operations.txt" in names
        assert not [name for name in names if name.startswith("components/")]
        archive.extractall(tmp_path / "installed")
    code = "import prodml.components as c; print(c.__file__); c.StatisticsGen"
    ran = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path[1:]!r}; {code}"],
        cwd=tmp_path / "installed",
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(tmp_path / "installed") in ran.stdout
