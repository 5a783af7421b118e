"""Pipeline roots, data and pushes on S3 (moto's server) and in fsspec's memory."""

import json
import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import warm
from support.s3_server import ENVIRONMENT, s3_server

from prodml.artifacts import Schema
from prodml.components.pusher import object_versions
from prodml.data.spans import latest_versions, matching_files
from prodml.errors import ArtifactError, StorageError
from prodml.orchestration.launch.retries import is_transient
from prodml.orchestration.publish import manifest, publication
from prodml.orchestration.publish.local_copies import local_copy
from prodml.storage import objects
from prodml.storage.locations import join

PIPELINE = """
import os
from pathlib import Path
from prodml import Channel, Input, Output, component, pipeline
from prodml.artifacts import Model, Schema
from prodml.components import (
    CsvExampleGen, LatestArtifactStrategy, Pusher, PushDestination, Resolver, StatisticsGen,
)

@component
def Train(schema: Input[Schema], model: Output[Model]):
    assert Path(schema.uri, "schema.pbtxt").read_text() == "feature {}"
    os.makedirs(model.serving_model_dir + "/variables")
    for name in ("saved_model.pb", "variables/variables.index"):
        Path(model.serving_model_dir, name).write_text("a model")
    if os.path.exists("die"):
        os.kill(os.getpid(), 9)

@component
def MakeSchema(schema: Output[Schema]):
    Path(schema.uri, "schema.pbtxt").write_text("feature {}")

@pipeline(name="far")
def far(data: str, serving: str):
    examples = CsvExampleGen(input_base=data)
    Resolver(strategy_class=LatestArtifactStrategy, found=Channel(type=Schema))
    model = Train(schema=MakeSchema().outputs["schema"]).outputs["model"]
    Pusher(model=model, push_destination=PushDestination(
        filesystem=PushDestination.Filesystem(base_directory=serving)))
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture(params=["s3", "memory"])
def base(request: pytest.FixtureRequest, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A separate location in an object store."""
    for name, value in {**ENVIRONMENT, "FSSPEC_S3_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    reread_fsspec_configuration()
    if request.param == "s3":
        return f"s3://bucket/{uuid.uuid4().hex}"
    return f"memory://{uuid.uuid4().hex}"


def reread_fsspec_configuration() -> None:
    import fsspec.config

    fsspec.config.set_conf_env(fsspec.config.conf)


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "model" / "variables").mkdir(parents=True)
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "model" / "variables" / "variables.index").write_bytes(b"index")
    return str(tmp_path / "model")


def published(base: str, tmp_path: Path) -> Schema:
    staged = tmp_path / "staged"
    staged.mkdir()
    (staged / "schema.pbtxt").write_text("feature {}")
    artifact = Schema(uri=str(staged), final_uri=join(base, "Node", "schema", "7"))
    publication.publish(publication.Staging(str(staged), "run:Node:1", {"schema": artifact}, ""))
    artifact.uri = artifact.final_uri
    return artifact


def test_a_published_artifact_is_fetched_once_and_completely(base: str, tmp_path: Path) -> None:
    artifact = published(base, tmp_path)
    assert manifest.difference(artifact.uri) is None
    copy = local_copy(artifact, str(tmp_path / "copies"))
    assert Path(copy.uri, "schema.pbtxt").read_text() == "feature {}"
    assert copy.final_uri == artifact.uri
    objects.remove(join(artifact.uri, "schema.pbtxt"))
    assert local_copy(artifact, str(tmp_path / "copies")).uri == copy.uri


def test_a_copy_that_another_process_completed_concurrently_is_not_removed(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = published(base, tmp_path)
    copies = str(tmp_path / "copies")
    real, theirs = manifest.difference, list[int]()

    def slow(place: str) -> str | None:
        found = real(place)
        if not theirs:
            theirs.append(-1)
            # Kept open, so that no other directory gets its inode number.
            theirs.append(os.open(local_copy(artifact, copies).uri, os.O_RDONLY))
        return found

    monkeypatch.setattr(manifest, "difference", slow)
    copy = local_copy(artifact, copies)
    assert os.path.samestat(os.stat(copy.uri), os.fstat(theirs[1])), "the other one reads it"
    os.close(theirs[1])


def test_an_artifact_without_a_manifest_does_not_exist(base: str, tmp_path: Path) -> None:
    artifact = published(base, tmp_path)
    objects.remove(join(artifact.uri, manifest.MANIFEST))
    assert manifest.difference(artifact.uri) == f"{artifact.uri} is gone"
    with pytest.raises(ArtifactError, match="is not what was published"):
        local_copy(artifact, str(tmp_path / "copies"))


def test_damage_is_found_by_size_and_by_content(base: str, tmp_path: Path) -> None:
    artifact = published(base, tmp_path)
    file = join(artifact.uri, "schema.pbtxt")
    objects.write(file, b"feature ()")
    assert manifest.difference(artifact.uri) is None
    with pytest.raises(ArtifactError, match=r"schema\.pbtxt is not what was published"):
        local_copy(artifact, str(tmp_path / "copies"))
    assert list((tmp_path / "copies").iterdir()) == []
    objects.write(file, b"longer than before")
    assert manifest.difference(artifact.uri) == f"{file} was changed"
    objects.remove(file)
    assert manifest.difference(artifact.uri) == f"{file} was deleted"


def test_a_manifest_that_names_files_elsewhere_is_refused(base: str, tmp_path: Path) -> None:
    artifact = published(base, tmp_path)
    text = json.loads(objects.read(join(artifact.uri, manifest.MANIFEST)))
    text["files"][0]["path"] = "../../escaped"
    objects.write(join(artifact.uri, manifest.MANIFEST), json.dumps(text).encode())
    assert "damaged" in str(manifest.difference(artifact.uri))
    with pytest.raises(ArtifactError, match="is not a path below the artifact"):
        local_copy(artifact, str(tmp_path / "copies"))


def test_a_withdrawn_artifact_is_removed(base: str, tmp_path: Path) -> None:
    artifact = published(base, tmp_path)
    publication.withdraw([artifact])
    assert objects.listing(artifact.uri) == {}


def test_spans_are_found_by_their_patterns(base: str) -> None:
    for name in ("span-1/v1/a.csv", "span-2/v1/a.csv", "span-2/v2/a.csv", "span-2/v2/.b.csv"):
        objects.write(join(base, name), b"x\n1\n")
    found = latest_versions(matching_files(base, "span-{SPAN}/v{VERSION}/*.csv"))
    assert [(f.path, f.span, f.version) for f in found] == [
        (join(base, "span-1/v1/a.csv"), 1, 1), (join(base, "span-2/v2/a.csv"), 2, 2),
    ]  # fmt: skip


def test_concurrent_pushes_get_different_versions(base: str, model: str) -> None:
    pushed: list[int] = []

    def push(number: int) -> None:
        pushed.append(object_versions.push_version(model, base, f"run-{number}/Pusher"))

    threads = [threading.Thread(target=push, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(pushed)) == 4
    for version in pushed:
        assert objects.read(join(base, str(version), "saved_model.pb")) == b"graph"


def test_a_repeated_push_returns_its_first_version(base: str, model: str) -> None:
    first = object_versions.push_version(model, base, "run/Pusher")
    assert object_versions.push_version(model, base, "run/Pusher") == first
    assert object_versions.push_version(model, base, "other/Pusher") > first


def test_a_killed_push_is_resumed_under_its_own_claim(
    base: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(objects, "upload", killed)
    with pytest.raises(KeyboardInterrupt):
        object_versions.push_version(model, base, "run/Pusher")
    assert not [name for name in objects.listing(base) if name.endswith("saved_model.pb")]
    monkeypatch.undo()
    version = object_versions.push_version(model, base, "run/Pusher")
    assert [name for name in objects.listing(base) if name.startswith(".prodml-claim")] == [
        f".prodml-claim-{version}"
    ]


def test_an_unreachable_store_is_a_transient_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**ENVIRONMENT, "FSSPEC_S3_ENDPOINT_URL": "http://127.0.0.1:1"}.items():
        monkeypatch.setenv(name, value)
    reread_fsspec_configuration()
    with pytest.raises(StorageError, match="s3://bucket/x") as caught:
        objects.listing("s3://bucket/x")
    assert is_transient(caught.value)


class Workplace:
    """A directory with a pipeline whose data, artifacts and models are on S3."""

    def __init__(self, root: Path, base: str, endpoint: str) -> None:
        self.root = root
        self.base = base
        self.environment = {
            **os.environ, **ENVIRONMENT, "FSSPEC_S3_ENDPOINT_URL": endpoint,
            "PRODML_PIPELINE_ROOT": f"{base}/artifacts",
        }  # fmt: skip
        (root / "pipeline.py").write_text(PIPELINE)
        rows = "".join(f"{n},{n % 7}\n" for n in range(200))
        objects.write(join(base, "data/rows.csv"), f"a,b\n{rows}".encode())

    def prodml(self, *arguments: str, code: int = 0) -> str:
        ran = warm.run(
            [sys.executable, "-m", "prodml", *arguments],
            cwd=self.root, env=self.environment, capture_output=True, text=True,
        )  # fmt: skip
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def run(self, code: int = 0) -> str:
        given = [f"--param=data={self.base}/data", f"--param=serving={self.base}/serving"]
        return self.prodml("run", "pipeline.py", *given, code=code)


STAGED = """
from prodml import Output, component, pipeline
from prodml.artifacts import Schema

@component
def Make(made: Output[Schema]):
    with open("staged", "a") as file:
        file.write(f"{made.uri}\\n")

@pipeline(name="staged")
def staged():
    Make()
"""


def test_two_stores_that_share_a_home_have_different_staging_directories(tmp_path: Path) -> None:
    (tmp_path / "staged.py").write_text(STAGED)
    for name in ("one", "two"):
        config = f"pipeline_root: memory://{name}\nmetadata: {{sqlite: {name}.db}}\n"
        (tmp_path / f"{name}.yaml").write_text(config)
        ran = warm.run(
            [sys.executable, "-m", "prodml", "run", "staged.py", "--config", f"{name}.yaml"],
            cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
    first, second = (tmp_path / "staged").read_text().split()
    assert first != second
    assert first.startswith(str(tmp_path / ".prodml" / "scratch"))


@pytest.mark.parametrize("base", ["s3"], indirect=True)
def test_a_pipeline_runs_on_s3(tmp_path: Path, base: str, endpoint: str) -> None:
    work = Workplace(tmp_path, base, endpoint)
    (tmp_path / "die").touch()
    work.run(code=-signal.SIGKILL)
    (tmp_path / "die").unlink()
    output = work.prodml("run", "--resume")
    assert "completed before the run was resumed" in output and "5 complete" in output
    artifacts = json.loads(work.prodml("artifacts", "--json"))
    assert {a["type"] for a in artifacts} >= {"Examples", "Schema", "Model", "PushedModel"}
    assert all(a["uri"].startswith(f"{base}/artifacts/far/") for a in artifacts)
    assert "4 cached" in work.run()
    served = [name for name in objects.listing(join(base, "serving")) if name[:1].isdigit()]
    assert len([name for name in served if name.endswith("/saved_model.pb")]) == 1
    (model,) = (a["uri"] for a in artifacts if a["type"] == "Model")
    objects.remove(join(model, "Format-Serving/saved_model.pb"))
    assert "saved_model.pb was deleted" in work.run()
