import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodml.data.splitting import Bucketing, hash_rows, time_cuts
from prodml.errors import InputDataError

rows = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(allow_nan=False),
        st.none() | st.text(st.characters(blacklist_categories=["Cs"])),
        st.none() | st.lists(st.integers(-5, 5), max_size=3),
    ),
    min_size=1,
    max_size=30,
)
TYPES = {"i": pa.int64(), "f": pa.float64(), "s": pa.string(), "l": pa.list_(pa.int64())}


def batch(table: list[tuple[object, ...]]) -> pa.RecordBatch:
    columns = [
        pa.array([row[index] for row in table], kind) for index, kind in enumerate(TYPES.values())
    ]
    return pa.RecordBatch.from_arrays(columns, list(TYPES))


def test_the_hash_of_a_row_never_changes() -> None:
    """If a row changed its split, a model could be evaluated on rows that it was trained on."""
    table = [(1, 0.5, "a", [1, 2]), (None, -2.0, "é", None), (7, 7.0, "", [])]
    assert hash_rows(batch(table)).tolist() == [
        12824268869159518750,
        10453850667573688146,
        11205904846987252597,
    ]


@given(rows, st.randoms())
def test_the_order_of_rows_columns_and_blocks_has_no_effect(table, random) -> None:  # type: ignore[no-untyped-def]
    whole = hash_rows(batch(table))
    order = list(range(len(table)))
    random.shuffle(order)
    assert (hash_rows(batch([table[i] for i in order])) == whole[order]).all()
    cut = random.randint(0, len(table))
    blocks = [hash_rows(batch(part)) for part in (table[:cut], table[cut:]) if part]
    assert (np.concatenate(blocks) == whole).all()
    backwards = batch(table).schema.names[::-1]
    reordered = pa.RecordBatch.from_arrays(
        [batch(table).column(name) for name in backwards], backwards
    )
    assert (hash_rows(reordered) == whole).all()


@given(st.lists(st.integers(-(2**52), 2**52), min_size=1))
def test_a_whole_number_has_the_same_hash_as_integer_and_float(numbers: list[int]) -> None:
    as_int = pa.RecordBatch.from_pydict({"n": pa.array(numbers, pa.int64())})
    as_float = pa.RecordBatch.from_pydict({"n": pa.array(map(float, numbers), pa.float64())})
    assert (hash_rows(as_int) == hash_rows(as_float)).all()


def test_a_column_of_missing_values_has_no_effect() -> None:
    one = pa.RecordBatch.from_pydict({"n": [1, 2]})
    two = pa.RecordBatch.from_pydict({"n": [1, 2], "m": pa.nulls(2, pa.string())})
    assert (hash_rows(one) == hash_rows(two)).all()


def test_hashes_depend_on_the_column_and_the_position_in_a_list() -> None:
    swapped = pa.RecordBatch.from_pydict({"a": [1, 2], "b": [2, 1]})
    assert len(set(hash_rows(swapped).tolist())) == 2
    lists = pa.RecordBatch.from_pydict({"l": [[1, 2], [2, 1], [1], []]})
    assert len(set(hash_rows(lists).tolist())) == 4


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_splits_get_their_share_of_different_rows(buckets: list[int]) -> None:
    many = pa.RecordBatch.from_pydict({"n": pa.array(np.arange(20_000))})
    bucketing = Bucketing(tuple(map(str, range(len(buckets)))), tuple(buckets))
    shares = np.bincount(bucketing.assign(hash_rows(many)), minlength=len(buckets)) / 20_000
    assert np.allclose(shares, np.array(buckets) / sum(buckets), atol=0.02)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=60))
def test_time_splits_never_share_a_time_and_keep_the_order(times: list[int]) -> None:
    column = pa.array(times)
    try:
        cuts = time_cuts(Bucketing(("train", "eval"), (2, 1)), pa.chunked_array([column]))
    except InputDataError:
        assert sorted(times)[len(times) * 2 // 3] == min(times)
        return
    index = cuts.assign(column)
    train = [t for t, i in zip(times, index, strict=True) if i == 0]
    evaluation = [t for t, i in zip(times, index, strict=True) if i == 1]
    assert train and evaluation and max(train) < min(evaluation)


def test_a_missing_time_is_an_error() -> None:
    with pytest.raises(InputDataError, match=r"1 row\(s\) have no value in the time column"):
        time_cuts(Bucketing(("a", "b"), (1, 1)), pa.chunked_array([pa.array([1, None])]))
