"""The baseline of the flights model, and the metric by which both are compared."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

FLIGHTS = Path(__file__).parents[3] / "examples" / "flights"


@pytest.fixture(scope="module")
def baseline() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FLIGHTS))
        spec = importlib.util.spec_from_file_location("flights_baseline", FLIGHTS / "baseline.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30).filter(
        lambda rows: len({is_late for is_late, _ in rows}) == 2
    )
)
def test_auc_is_the_share_of_correctly_ordered_pairs(baseline, rows):
    late = [score for is_late, score in rows if is_late]
    on_time = [score for is_late, score in rows if not is_late]
    pairs = [(a > b) + 0.5 * (a == b) for a in late for b in on_time]
    is_late, scores = (pd.Series(column, dtype=float) for column in zip(*rows, strict=True))
    assert baseline.auc(is_late, scores) == pytest.approx(sum(pairs) / len(pairs))


def test_an_unseen_carrier_and_hour_gets_the_rate_of_all_flights(baseline):
    train = pd.DataFrame({"carrier": ["AA", "AA", "UA"], "hour": [6, 6, 7], "is_late": [1, 0, 0]})
    test = pd.DataFrame({"carrier": ["AA", "UA", "DL"], "hour": [6, 7, 6]})
    assert baseline.delay_rates(train, test).tolist() == [0.5, 0.0, pytest.approx(1 / 3)]
