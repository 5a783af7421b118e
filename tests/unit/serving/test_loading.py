"""A version is its directory, and nothing beside it."""

from pathlib import Path

import pytest

from prodml.errors import ServingError
from prodml.serving.loading import ModelOptions, load_version
from prodml.serving.metrics import ServerMetrics


def test_a_version_with_a_link_that_leads_out_of_it_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("c4n4ry")
    version = tmp_path / "model" / "1"
    (version / "assets").mkdir(parents=True)
    (version / "assets" / "words").symlink_to(tmp_path / "secret")
    with pytest.raises(ServingError, match=r"1/assets/words is a link that leads out") as caught:
        load_version("model", 1, str(version), ModelOptions(), ServerMetrics())
    assert caught.value.code == "FAILED_PRECONDITION"
