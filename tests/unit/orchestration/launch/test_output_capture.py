"""The output of a node goes to its log while it runs."""

import sys
from pathlib import Path

from prodml.orchestration.launch.output_capture import captured


def test_a_stream_that_a_library_kept_can_be_closed_after_the_node(tmp_path: Path) -> None:
    log = tmp_path / "node.log"
    with captured(str(log)):
        kept = sys.stdout
        print("working")

    # Python calls this when nothing refers to the stream any more.
    kept.close()

    assert log.read_text() == "working\n"
