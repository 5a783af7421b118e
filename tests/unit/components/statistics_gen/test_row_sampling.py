"""The sample of rows that StatisticsGen reads."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodml.artifacts import Examples
from prodml.components.statistics_gen.component import StatisticsGen, StatsOptions
from prodml.components.statistics_gen.transforms import sample_rows
from prodml.dsl.channel import Channel
from prodml.errors import DefinitionError


@given(
    rows=st.integers(0, 500),
    rate=st.floats(0.01, 1.0),
    sizes=st.tuples(st.integers(1, 600), st.integers(1, 600)),
)
def test_a_sample_is_the_same_each_time_for_every_size_of_batches(
    rows: int, rate: float, sizes: tuple[int, int]
) -> None:
    one, two = (_sampled(rows, rate, size) for size in sizes)
    assert one == two
    assert one == sorted(one)


def test_each_row_is_sampled_independently() -> None:
    """Rows at the same position of different batches are sampled independently."""
    batches, size, rate = 50, 1000, 0.3
    drawn = np.zeros(batches * size, bool)
    drawn[_sampled(batches * size, rate, size)] = True
    places = drawn.reshape(batches, size).sum(axis=0)
    # Binomial: a position is sampled in 15 of 50 batches, with a standard deviation of 3.2.
    assert 13 < places.mean() < 17
    assert places.min() > 0
    assert places.max() < batches
    assert 2.5 < places.std() < 4.0


def test_each_file_has_its_own_sample() -> None:
    assert _sampled(1000, 0.5, 1000, seed=0) != _sampled(1000, 0.5, 1000, seed=1)


def test_a_rate_of_one_keeps_every_row() -> None:
    assert _sampled(100, 1.0, 30) == list(range(100))


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.5])
def test_a_rate_out_of_range_is_rejected(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0 and up to 1"):
        StatsOptions(sample_rate=rate)


def test_a_misspelt_option_is_rejected() -> None:
    with pytest.raises(DefinitionError, match="num_top_value"):
        StatisticsGen(examples=Channel(type=Examples), stats_options={"num_top_value": 3})


def _sampled(rows: int, rate: float, size: int, seed: int = 0) -> list[int]:
    table = pa.table({"row": pa.array(range(rows), pa.int64())})
    sampled = sample_rows(table.to_batches(max_chunksize=size), rate, seed)
    return [row for batch in sampled for row in batch.column(0).to_pylist()]
