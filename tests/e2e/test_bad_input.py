"""Invalid input gives one clear error and the right exit code, and nothing is published."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import warm

PIPELINE = """
from prodml import pipeline
from prodml.components import CsvExampleGen, StatisticsGen, SchemaGen, Transform, Trainer

@pipeline(name="small")
def small(data: str, rows: int = 1):
    examples = CsvExampleGen(input_base=data).outputs["examples"]
    statistics = StatisticsGen(examples=examples).outputs["statistics"]
"""
TRANSFORM = """
    schema = SchemaGen(statistics=statistics).outputs["schema"]
    Transform(examples=examples, schema=schema, module_file="module.py")
"""
PIPELINE_AND_DATA = ("pipeline.py", "--param", "data=data")
ROWS = "a,b\n" + "".join(f"{i},{i % 7}.5\n" for i in range(60))


class Workspace:
    """A directory with a pipeline and data, in which commands run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "data").mkdir()
        self.write("data/rows.csv", ROWS)
        self.write("pipeline.py", PIPELINE)

    def write(self, name: str, content: str | bytes) -> None:
        data = content.encode() if isinstance(content, str) else content
        (self.directory / name).write_bytes(data)

    def run(self, *arguments: str, libraries: str = warm.WITHOUT_TENSORFLOW) -> tuple[int, str]:
        return self.prodml("run", *arguments, libraries=libraries)

    def prodml(
        self, command: str, *arguments: str, libraries: str = warm.WITHOUT_TENSORFLOW
    ) -> tuple[int, str]:
        ran = warm.run(
            [sys.executable, "-m", "prodml", command, *PIPELINE_AND_DATA, *arguments],
            libraries=libraries,
            cwd=self.directory,
            capture_output=True,
            text=True,
        )
        return ran.returncode, ran.stdout + ran.stderr

    def published(self) -> list[str]:
        root = self.directory / ".prodml" / "artifacts"
        return [str(path) for path in root.glob("*/**/*") if path.is_file()]


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_a_plan_creates_no_files(work: Workspace) -> None:
    code, output = work.prodml("plan")
    assert code == 0 and "first run" in output
    assert not (work.directory / ".prodml").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--param", "row=2"], "no parameter 'row'; did you mean 'rows'"),
        (["--param", "rows=two"], "must be int, got 'two'"),
        (["--param", "rows"], "write name=value"),
        (["--config", "no.yaml"], "no.yaml does not exist"),
        (["--config", "bad.yaml"], "bad.yaml: unknown key 'runer'; did you mean 'runner'"),
    ],
)
def test_an_invalid_request_exits_with_2_before_anything_runs(
    work: Workspace, arguments: list[str], message: str
) -> None:
    work.write("bad.yaml", "runer: {}\n")
    code, output = work.run(*arguments)
    assert code == 2
    assert message in output
    assert "Traceback" not in output
    assert not (work.directory / ".prodml" / "metadata.db").exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import nothing_like_it\n", "pipeline.py:1, in <module>: ModuleNotFoundError"),
        ("x = 1\n", "must define one @pipeline; it has: none"),
        (PIPELINE + "    1 / 0\n", "pipeline.py:9, in small: ZeroDivisionError"),
        (
            PIPELINE + "    SchemaGen(statistics=examples)\n",
            "pipeline.py:9: SchemaGen input 'statistics' expects ExampleStatistics",
        ),
        (PIPELINE + "    CsvExampleGen(input_base=data)\n", "'CsvExampleGen' is already used at"),
        (
            PIPELINE + "    a = CsvExampleGen(input_base=data).with_id('a')\n"
            "    b = StatisticsGen(examples=a.outputs['examples']).with_id('b')\n"
            "    a.add_upstream_node(b)\n",
            "cycle: a -> b -> a",
        ),
    ],
)
def test_an_invalid_pipeline_exits_with_2_and_names_the_line(
    work: Workspace, source: str, message: str
) -> None:
    work.write("pipeline.py", source)
    code, output = work.run()
    assert code == 2
    assert message in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "rows.csv is empty"),
        ("a,b\n", "rows.csv has a header but no rows"),
        ("a,b\n1,2\n1,2,3\n", "rows.csv, row 2 (line 3): expected 2 cells"),
        (b"a,b\n1,\xe9\n", "rows.csv, line 2, byte 3: not UTF-8"),
    ],
)
def test_bad_data_fails_the_run_and_publishes_nothing(
    work: Workspace, rows: str | bytes, message: str
) -> None:
    work.write("data/rows.csv", rows)
    code, output = work.run()
    assert code == 1
    assert "CsvExampleGen" in output
    assert message in output
    assert "Traceback" not in output
    assert work.published() == []


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (None, "module_file='module.py' does not exist"),
        ("import nothing_like_it\n", "module.py:1, in <module>: ModuleNotFoundError"),
        ("def preprocessing(inputs):\n    return inputs\n", "no function 'preprocessing_fn'"),
        ("def preprocessing_fn(inputs):\n    return inputs['c']\n", "module.py:2"),
    ],
)
def test_a_bad_user_module_fails_its_node_and_names_the_users_line(
    work: Workspace, module: str | None, message: str
) -> None:
    work.write("pipeline.py", PIPELINE + TRANSFORM)
    if module is not None:
        work.write("module.py", module)
    code, output = work.run(libraries=warm.TENSORFLOW)
    assert code == 1
    assert message in output
    assert "Transform" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("options", "message"),
    [("size=256k", "the disk is full"), ("ro", "the filesystem is read-only; set pipeline_root")],
)
def test_a_full_or_read_only_disk_is_reported_and_leaves_no_files(
    work: Workspace, options: str, message: str
) -> None:
    work.write("data/rows.csv", "a,b\n" + "".join(f"{i},{i * i}.25\n" for i in range(60_000)))
    root = work.directory / "disk"
    root.mkdir()
    script = (
        f"mount -t tmpfs -o {options} tmpfs {root} && "
        f"{sys.executable} -m prodml run pipeline.py --param data=data; code=$?; "
        f"find {root} -type f ! -name .prodml-root.json; exit $code"
    )
    ran = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        cwd=work.directory,
        capture_output=True,
        text=True,
        env={**os.environ, "PRODML_PIPELINE_ROOT": str(root)},
    )
    output = ran.stdout + ran.stderr
    assert ran.returncode == 1, output
    assert message in output
    assert "Traceback" not in output
    assert f"{root}/" not in ran.stdout.partition("\nrun ")[2], "files were left behind"


def test_a_directory_without_write_permission_is_reported(work: Workspace) -> None:
    root = work.directory / ".prodml" / "artifacts"
    root.mkdir(parents=True)
    root.chmod(0o555)
    # Root can write everywhere unless it drops this capability.
    drop = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    ran = subprocess.run(
        [
            *(drop if os.geteuid() == 0 else ()),
            sys.executable,
            "-m",
            "prodml",
            "run",
            *PIPELINE_AND_DATA,
        ],
        cwd=work.directory,
        capture_output=True,
        text=True,
    )
    output = ran.stdout + ran.stderr
    assert ran.returncode == 1
    assert "permission denied; check the owner and mode of the path" in output
    assert "Traceback" not in output
    assert work.published() == []


def test_the_option_traceback_prints_the_traceback(work: Workspace) -> None:
    code, output = work.run("--param", "rows=two", "--traceback")
    assert code != 0
    assert "Traceback" in output


def test_require_push_exits_with_3_when_nothing_was_pushed(work: Workspace) -> None:
    code, output = work.run("--require-push")
    assert code == 3, output
    assert "no model was pushed" in output
