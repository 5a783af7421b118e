import os
from pathlib import Path

import pytest

from prodml.paths import first_link_outside, inside, inside_any


def test_symbolic_links_in_a_path_are_followed(tmp_path: Path) -> None:
    root, other = tmp_path / "root", tmp_path / "root-other"
    (root / "in").mkdir(parents=True)
    other.mkdir()
    (root / "out").symlink_to(other)
    (root / "back").symlink_to(root / "in")
    (tmp_path / "way").symlink_to(root)
    assert inside(str(root), str(root))
    assert inside(str(root), f"{root}/in/not-there-yet")
    assert inside(str(root), f"{root}/back/file")
    assert inside(str(root), f"{tmp_path}/way/in")
    assert inside(f"{tmp_path}/way", f"{root}/in")
    assert inside("/", str(root))
    assert not inside(str(root), f"{root}/../root-other")
    assert not inside(str(root), str(other))
    assert not inside(str(root), f"{root}/out/file")
    assert not inside(str(root), f"{root}/in/../../x")
    assert inside_any([str(root), str(other)], str(other))
    assert not inside_any([], str(other))


def test_a_directory_without_links_has_no_link_to_the_outside(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("x")
    (tmp_path / "a" / "link").symlink_to("b/file")
    assert first_link_outside(str(tmp_path)) is None


@pytest.mark.parametrize("target", ["/etc/passwd", "../../elsewhere", "/etc", "../../gone"])
def test_a_link_to_the_outside_is_found_at_any_depth(tmp_path: Path, target: str) -> None:
    directory = tmp_path / "artifact"
    (directory / "Split-train").mkdir(parents=True)
    (directory / "Split-train" / "data").symlink_to(target)
    assert first_link_outside(str(directory)) == "Split-train/data"


def test_a_link_to_a_parent_directory_causes_no_endless_walk(tmp_path: Path) -> None:
    (tmp_path / "artifact").mkdir()
    os.symlink(tmp_path, tmp_path / "artifact" / "up")
    assert first_link_outside(str(tmp_path / "artifact")) == "up"
    os.symlink(tmp_path / "artifact", tmp_path / "artifact" / "itself")
    os.unlink(tmp_path / "artifact" / "up")
    assert first_link_outside(str(tmp_path / "artifact")) is None
