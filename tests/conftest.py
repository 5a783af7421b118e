"""The flag that writes golden files anew, and how property tests run."""

import os

import hypothesis
import pytest

from prodml import keras_choice

# No property is about time, and a machine may do other things meanwhile. The examples are the same
# every time, so that a test fails for a change; `make properties` looks for others.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True)
hypothesis.settings.register_profile("other", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("PROPERTY_EXAMPLES", "same"))


pytest_plugins = ["support.left_out", "support.longest_first"]

# As a run does before its first node; here test modules import TensorFlow first.
keras_choice.choose(keras_choice.DEFAULT)


# Runs in this process and in others have what could not travel to a remote Beam worker refused.
os.environ["PRODML_RUNNER__CHECK_PORTABILITY"] = "true"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="Write the golden files anew.")
