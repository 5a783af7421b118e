"""The output of a node goes to its log while it runs."""

import os
import sys
from pathlib import Path

import pytest

from prodml.orchestration.launch import output_capture
from prodml.orchestration.launch.output_capture import captured


def test_a_stream_that_a_library_kept_can_be_closed_after_the_node(tmp_path: Path) -> None:
    log = tmp_path / "node.log"
    with captured(str(log)):
        kept = sys.stdout
        print("working")

    # Python calls this when nothing refers to the stream any more.
    kept.close()

    assert log.read_text() == "working\n"


def test_an_interrupt_at_the_end_of_a_node_gives_the_streams_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    before = [os.fstat(descriptor) for descriptor in (1, 2)]
    with pytest.raises(KeyboardInterrupt), captured(str(tmp_path / "node.log")):
        monkeypatch.setattr(output_capture, "_flush", interrupted)
    after = [os.fstat(descriptor) for descriptor in (1, 2)]
    assert all(map(os.path.samestat, before, after))
