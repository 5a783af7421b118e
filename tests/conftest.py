"""The flag that writes golden files anew, and how property tests run."""

import hypothesis
import pytest

# No property is about time, and a machine may do other things meanwhile.
hypothesis.settings.register_profile("prodml", deadline=None)
hypothesis.settings.load_profile("prodml")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="Write the golden files anew.")
