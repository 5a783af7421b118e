"""The sample of rows that StatisticsGen looks at."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodml.artifacts import Examples
from prodml.components.statistics_gen.component import StatisticsGen, StatsOptions
from prodml.components.statistics_gen.transforms import sample_rows
from prodml.dsl.channel import Channel
from prodml.errors import DefinitionError


@given(rows=st.integers(0, 500), rate=st.floats(0.01, 1.0))
def test_a_sample_is_the_same_each_time_and_keeps_the_order(rows: int, rate: float) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(range(rows), pa.int64())], ["row"])
    one, two = sample_rows(batch, rate), sample_rows(batch, rate)
    assert one == two
    assert one.column(0).to_pylist() == sorted(one.column(0).to_pylist())


def test_the_whole_rate_keeps_every_row() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(range(100), pa.int64())], ["row"])
    assert sample_rows(batch, 1.0) == batch


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.5])
def test_a_rate_outside_its_range_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0 and up to 1"):
        StatsOptions(sample_rate=rate)


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(DefinitionError, match="num_top_value"):
        StatisticsGen(examples=Channel(type=Examples), stats_options={"num_top_value": 3})
