"""Places of artifacts, and directories that others use."""

import os

from hypothesis import given
from hypothesis import strategies as st

from prodml.orchestration.garbage.shared_places import Claims, Place, place_of

paths = st.lists(st.sampled_from(["a", "b", "aa"]), min_size=1, max_size=5).map(
    lambda names: "/" + "/".join(names)
)


@given(st.sets(paths, max_size=4), paths)
def test_claims_overlap_equal_parent_and_child_directories(claimed: set[str], path: str) -> None:
    def lies_in(inner: str, outer: str) -> bool:
        return os.path.commonpath([inner, outer]) == outer

    expected = any(lies_in(path, each) or lies_in(each, path) for each in claimed)
    assert Claims(claimed).overlap(path) is expected


def test_a_claim_of_the_root_directory_overlaps_every_path() -> None:
    assert Claims(["/"]).overlap("/a/b") and Claims(["/a/b"]).overlap("/")
    assert not Claims([]).overlap("/a")


def test_only_node_output_and_number_below_a_root_are_a_place() -> None:
    assert place_of("/r/Train/model/7", ["/r"]) == Place("/r", "Train", "model", 7)
    assert place_of("s3://r/Train/model/7", ["s3://r"]) == Place("s3://r", "Train", "model", 7)
    others = ["/r/Train/7", "/r/a/Train/model/7", "/r/Train/model/x", "/r/.a/model/7", "/r", "/"]
    assert [uri for uri in others if place_of(uri, ["/r"])] == []
