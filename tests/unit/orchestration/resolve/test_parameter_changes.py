import copy
import json
from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st
from support.strategies import json_values

from prodml.orchestration.resolve.parameter_changes import (
    ABSENT,
    Difference,
    describe_change,
    differences,
)


def change(old: Any, new: Any) -> str:
    return describe_change("p", json.dumps(old), json.dumps(new))


def test_the_part_that_differs_is_shown_with_its_place() -> None:
    config = {
        "model_specs": [{"label_key": "is_late"}],
        "slicing_specs": [{"feature_keys": []}, {"feature_keys": ["month"]}],
    }
    other = copy.deepcopy(config)
    other["slicing_specs"][1]["feature_keys"] = ["day"]
    assert change(config, other) == 'p.slicing_specs[1].feature_keys: ["month"] -> ["day"]'


def test_an_element_that_was_inserted_is_the_only_difference() -> None:
    old = [{"name": "auc", "of": "all"}, {"name": "loss", "of": "all"}]
    assert change(old, [old[0], {"name": "f1"}, old[1]]) == 'p[1]: unset -> {"name": "f1"}'
    assert change([old[0], {"name": "f1"}, old[1]], old) == 'p[1]: {"name": "f1"} -> unset'


def test_a_parameter_that_was_not_set_before_is_shown_as_unset() -> None:
    assert describe_change("p", None, "2") == "p: unset -> 2"
    assert describe_change("p", '"unset"', None) == 'p: "unset" -> unset'


def test_values_that_are_equal_to_python_alone_differ() -> None:
    assert change({"a": 1}, {"a": True}) == "p.a: 1 -> true"
    assert change([1, 2], [1.0, 2]) == "p: [1, 2] -> [1.0, 2]"


def test_long_texts_are_shown_around_the_place_where_they_differ() -> None:
    start = "s3://bucket/" + "very/" * 30
    assert change(f"{start}old/path", f"{start}new/path/and/more/and/more/and/more") == (
        'p: ...y/very/very/old/path" -> ...y/very/very/new/path/and/more/and/...'
    )


def test_keys_that_are_no_names_are_quoted() -> None:
    assert change({"a.b c": 1}, {"a.b c": 2}) == 'p["a.b c"]: 1 -> 2'


def test_many_differences_are_counted() -> None:
    old = {f"k{number}": number for number in range(9)}
    assert change(old, {}) == "p.k0: 0 -> unset, p.k1: 1 -> unset, p.k2: 2 -> unset, and 6 more"


@given(json_values, json_values)
def test_the_differences_are_all_that_is_needed_to_make_one_value_of_the_other(
    old: Any, new: Any
) -> None:
    holder = [copy.deepcopy(old)]
    found = list(differences(old, new))
    # From the end: an element that is removed moves those behind it.
    for difference in reversed([each for each in found if each.old is not ABSENT]):
        apply(holder, difference)
    for difference in [each for each in found if each.old is ABSENT]:
        apply(holder, difference)
    assert json.dumps(holder[0], sort_keys=True) == json.dumps(new, sort_keys=True)


@given(json_values)
def test_equal_values_have_no_difference(value: Any) -> None:
    assert not list(differences(value, copy.deepcopy(value)))


@given(json_values, json_values)
def test_the_description_is_short_and_goes_both_ways(old: Any, new: Any) -> None:
    assume(json.dumps(old, sort_keys=True) != json.dumps(new, sort_keys=True))
    there, back = change(old, new), change(new, old)
    assert len(there) < 800
    assert there.count(" -> ") == back.count(" -> ") >= 1


@given(st.text(), st.text(), st.text())
@example("x" * 50, "a", "b")
def test_the_texts_shown_of_two_different_texts_are_different(
    start: str, old: str, new: str
) -> None:
    assume(old != new)
    shown_old, _, shown_new = change(start + old, start + new).removeprefix("p: ").partition(" -> ")
    assert shown_old != shown_new


def apply(holder: list[Any], difference: Difference) -> None:
    place: Any = holder
    *steps, last = (0, *difference.path)
    for step in steps:
        place = place[step]
    if difference.new is ABSENT:
        del place[last]
    elif difference.old is ABSENT and isinstance(place, list):
        place.insert(last, difference.new)
    else:
        place[last] = difference.new
