import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from prodml.orchestration.publish.manifest import MANIFEST, describe, difference, seal

file_names = st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5})?\.x", fullmatch=True)
contents = st.dictionaries(file_names, st.binary())


def write(directory: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)


@given(contents)
def test_the_digest_depends_on_names_and_contents_alone(
    tmp_path_factory, files: dict[str, bytes]
) -> None:  # type: ignore[no-untyped-def]
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    write(one, files)
    write(two, dict(reversed(files.items())))
    assert describe(str(one)).digest == describe(str(two)).digest
    (two / "another.y").write_bytes(b"")
    assert describe(str(one)).digest != describe(str(two)).digest


def test_a_sealed_directory_without_changes_is_unchanged(tmp_path: Path) -> None:
    write(tmp_path, {"a/b": b"1", "c": b"2"})
    manifest = seal(str(tmp_path), "run:node:1")
    assert difference(str(tmp_path)) is None
    assert describe(str(tmp_path)) == manifest
    assert (tmp_path / MANIFEST).exists()


def test_a_touched_file_is_unchanged(tmp_path: Path) -> None:
    write(tmp_path, {"c": b"2"})
    seal(str(tmp_path), "run:node:1")
    os.utime(tmp_path / "c", (1, 1))
    assert difference(str(tmp_path)) is None


def test_changed_deleted_and_added_files_are_named(tmp_path: Path) -> None:
    write(tmp_path, {"a": b"1", "b": b"2"})
    seal(str(tmp_path), "run:node:1")
    (tmp_path / "a").write_bytes(b"3")
    assert str(difference(str(tmp_path))).endswith("a was changed")
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "new").write_bytes(b"")
    assert str(difference(str(tmp_path))).endswith("new was added")
    (tmp_path / "b").unlink()
    assert str(difference(str(tmp_path))).endswith("b was deleted")


def test_a_missing_directory_is_reported(tmp_path: Path) -> None:
    assert str(difference(str(tmp_path / "no"))).endswith("no is gone")


def test_a_damaged_manifest_is_reported(tmp_path: Path) -> None:
    seal(str(tmp_path), "run:node:1")
    (tmp_path / MANIFEST).write_text("{")
    assert "damaged" in str(difference(str(tmp_path)))
