"""The wheel contains the components, and no file can be imported under two names."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

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


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds a wheel from the sdist, and returns the directory that it is installed to."""
    root = tmp_path_factory.mktemp("packaging")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    tree = root / "tree"
    for name in filter(None, listed):
        source = ROOT / name
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            (tree / name).symlink_to(os.readlink(source))
        elif source.is_file():
            (tree / name).write_bytes(source.read_bytes())
    sdist = build("sdist", tree, root)
    with tarfile.open(sdist) as archive:
        archive.extractall(root / "sdist", filter="data")
    (unpacked,) = (root / "sdist").iterdir()
    with zipfile.ZipFile(build("wheel", unpacked, root)) as archive:
        archive.extractall(root / "installed")
    return root / "installed"


def python(prodml: Path, code: str, cwd: Path) -> str:
    """Runs code with prodml imported from a directory, and returns its output."""
    path = [str(prodml), *(entry for entry in sys.path[1:] if entry != str(ROOT))]
    ran = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {path!r}\n{code}"],
        cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_wheel_contains_the_components(installed: Path) -> None:
    assert (installed / "prodml/components/statistics_gen/executor.py").is_file()
    assert (installed / "prodml/scan/registered_operations.txt").is_file()
    assert (installed / "prodml/beam/runner_options.json").is_file()
    assert not (installed / "components").exists()
    code = "import prodml.components as c; print(c.__file__); c.StatisticsGen"
    assert str(installed) in python(installed, code, installed)


def test_the_wheel_contains_the_demo_project(installed: Path) -> None:
    for folder in ("pipelines", "examples", "configs"):
        files = [f for f in (ROOT / folder).rglob("*") if f.suffix in (".py", ".yaml", ".md")]
        assert files
        for file in files:
            packaged = installed / "prodml" / "demo" / file.relative_to(ROOT)
            assert packaged.read_bytes() == file.read_bytes()


FINGERPRINTS = """
import hashlib, json
from prodml.orchestration.code.pipeline_file import load_spec
from prodml.compiler.spec import to_json
from prodml.orchestration.code import source_text
from prodml.orchestration.resolve.fingerprint import fingerprint
spec = load_spec("pipelines/flights.py", {"data_root": "data"}, module_roots=[])
parts = {n.id: fingerprint(spec.name, n, {}, None, frozenset()).parts for n in spec.nodes}
print(json.dumps([to_json(spec), parts, source_text._read.cache_info().misses]))
"""


def test_fingerprints_are_the_same_in_a_wheel_and_a_checkout(
    installed: Path, tmp_path: Path
) -> None:
    code = "from prodml.cli.demo import make_project; make_project('project')"
    python(installed, code, tmp_path)
    spec, parts, files_read = json.loads(python(installed, FINGERPRINTS, tmp_path / "project"))
    shutil.copytree(tmp_path / "project", tmp_path / "another")
    assert json.loads(python(ROOT, FINGERPRINTS, tmp_path / "another")) == [spec, parts, files_read]
    # Only files of prodml and the user module; TensorFlow and Beam count by version.
    assert files_read < 250
    assert {"tensorflow", "apache-beam"} <= parts["Evaluator"]["library"].keys()
    assert "${project}/examples/flights/flights_utils.py" in spec
