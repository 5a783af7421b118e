from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodml.errors import RolloutError
from prodml.serving.rollouts.label_rules import Placement, canary, promote, rollback

versions = st.integers(1, 6)
moves = st.lists(
    st.tuples(st.sampled_from(["canary", "promote", "rollback"]), st.none() | versions),
    max_size=12,
)


def anything_goes(_: int) -> bool:
    return True


def moved(placement: Placement, action: str, version: int | None) -> Placement:
    if action == "canary":
        return canary(placement, version or 1)
    if action == "promote":
        return promote(placement, version)
    return rollback(placement, anything_goes, version)


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    """Generates every placement that moves can lead to."""
    placement = Placement()
    for action, version in draw(moves):
        try:
            placement = moved(placement, action, version)
        except RolloutError:
            continue
    return placement


@given(placements())
def test_labels_name_different_versions_and_history_holds_no_present_or_repeated_one(placement):
    assert placement.stable is None or placement.stable != placement.canary
    assert placement.stable not in placement.earlier
    assert len(set(placement.earlier)) == len(placement.earlier)
    assert placement.canary is None or placement.stable is not None


@given(placements(), versions)
def test_removing_a_canary_restores_the_previous_placement(placement, version):
    before = Placement(placement.stable, None, placement.earlier)
    try:
        tried = canary(before, version)
    except RolloutError:
        return
    assert rollback(tried, anything_goes) == before


@given(placements(), versions)
def test_a_promotion_that_is_rolled_back_returns_to_the_version_before(placement, version):
    if placement.stable is None or version == placement.stable:
        return
    back = rollback(promote(placement, version), anything_goes)
    assert back.stable == placement.stable
    assert back.canary is None
    assert back.earlier == tuple(v for v in placement.earlier if v != version)


@given(placements())
def test_the_version_that_a_rollback_would_make_stable_stays_loaded(placement):
    try:
        back = rollback(placement, anything_goes)
    except RolloutError:
        return
    assert back.stable in placement.served


@given(placements(), st.sets(versions))
def test_a_rollback_skips_versions_that_cannot_be_served(placement, unusable):
    without_canary = Placement(placement.stable, None, placement.earlier)
    usable = [v for v in placement.earlier if v not in unusable]
    try:
        back = rollback(without_canary, lambda v: v not in unusable)
    except RolloutError:
        assert not usable
    else:
        assert back.stable == usable[-1]


@pytest.mark.parametrize(
    ("move", "message"),
    [
        (lambda: canary(Placement(), 1), "no version is stable yet"),
        (lambda: canary(Placement(1), 1), "version 1 is stable already"),
        (lambda: promote(Placement(1)), "there is no canary to promote"),
        (lambda: promote(Placement(1), 1), "version 1 is stable already"),
        (lambda: rollback(Placement(1), anything_goes), "no blessed version to go back to"),
        (lambda: rollback(Placement(1), lambda _: False, 2), "does not exist or was not blessed"),
    ],
)
def test_an_impossible_move_is_rejected_with_the_reason(move, message):
    with pytest.raises(RolloutError, match=message):
        move()
