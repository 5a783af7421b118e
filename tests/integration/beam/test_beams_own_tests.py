"""A sample of Beam's own tests on the local runner; `make beam-tests` runs all of them."""

from pathlib import Path

from beam_suite.compare import compare, modules, reasons, results

SAMPLE = [
    "transforms/core_test.py",
    "transforms/create_test.py",
    "transforms/dofn_lifecycle_test.py",
]


def test_the_local_runner_passes_a_sample_of_beams_tests(tmp_path: Path) -> None:
    found = results("local", SAMPLE, tmp_path, workers=1)
    assert [name for name, passed in found.items() if not passed] == []
    assert len(found) > 30


def test_every_module_of_the_sample_is_compared_by_make_beam_tests() -> None:
    assert set(SAMPLE) <= set(modules())


def test_every_difference_has_a_reason_and_a_module_that_is_compared() -> None:
    compared = {module.removesuffix(".py").replace("/", ".") for module in modules()}
    for test, reason in reasons().items():
        assert reason.strip()
        assert test.rpartition(".")[0].rpartition(".")[0] in compared


def test_a_test_that_only_fnapirunner_passes_is_a_difference() -> None:
    local = {"a": True, "b": False, "c": True, "d": False}
    beam = {"a": True, "b": True, "c": False, "d": False, "e": True}
    found = compare(local, beam)
    assert (found.both, found.only_local, found.neither) == ({"a"}, {"c"}, {"d"})
    assert found.only_beam == {"b", "e"}
