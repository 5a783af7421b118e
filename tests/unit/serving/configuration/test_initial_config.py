"""The models that a server's options name."""

from __future__ import annotations

import pytest

from prodml.serving.configuration.initial_config import initial_config
from prodml.serving.configuration.server_options import ServerOptions


@pytest.mark.parametrize(
    ("given", "served"),
    [
        ("flights", "/models/flights"),
        ("/other/flights", "/other/flights"),
        ("s3://b/m", "s3://b/m"),
    ],
)
def test_a_relative_base_path_starts_at_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, given: str, served: str
) -> None:
    monkeypatch.setattr("os.getcwd", lambda: "/models")
    config = initial_config(ServerOptions(model_base_path=given))
    assert config.model_config_list.config[0].base_path == served
