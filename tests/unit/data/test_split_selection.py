"""The splits that a component processes."""

import pytest

from prodml.artifacts import Examples
from prodml.data.split_selection import selected_splits
from prodml.errors import InputDataError


def examples(*splits: str) -> Examples:
    made = Examples(uri="/data/examples")
    made.split_names = splits
    return made


def test_splits_keep_their_order_without_the_excluded_ones() -> None:
    assert selected_splits(examples("train", "eval", "test"), ["eval"]) == ["train", "test"]


def test_a_misspelt_split_gets_a_suggestion() -> None:
    with pytest.raises(InputDataError, match=r"no split 'evla'; did you mean 'eval'\?"):
        selected_splits(examples("train", "eval"), ["evla"])


def test_excluding_all_splits_is_an_error() -> None:
    with pytest.raises(InputDataError, match="no split left"):
        selected_splits(examples("train"), ["train"])
