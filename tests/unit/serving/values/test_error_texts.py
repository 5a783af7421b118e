from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodml.serving.values.error_texts import shortened


@pytest.mark.parametrize("character", ["a", "%", "\n", "é", "\U0001f600"])
def test_a_long_text_fits_into_a_trailer(character):
    short = shortened(character * 100_000)
    assert short.endswith(f"{character}...")
    assert 5_900 < len(quote(short, safe=" ")) < 6_100


@given(st.text(max_size=600))
def test_a_text_that_fits_stays_as_it_is(text):
    assert shortened(text) == text or len(quote(text, safe=" ")) > 6_000
