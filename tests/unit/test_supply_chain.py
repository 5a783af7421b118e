"""The verdict over what pip-audit reports."""

from typing import Any

from packaging.requirements import Requirement
from supply_chain.audit import verdict

OURS = [Requirement("pyarrow<11,>=10"), Requirement("urllib3>=1"), Requirement("tfx-bsl==1.16.1")]


def dependency(name: str, version: str, *fixes: list[str]) -> dict[str, Any]:
    vulns = [{"id": f"PYSEC-{n}", "fix_versions": fix} for n, fix in enumerate(fixes)]
    return {"name": name, "version": version, "vulns": vulns}


def test_a_fix_that_everybody_allows_makes_it_fail_and_names_the_command() -> None:
    report = {"dependencies": [dependency("urllib3", "2.0.0", ["2.0.10", "2.0.9"])]}
    lines, code = verdict(report, OURS)
    assert code == 1
    assert "PYSEC-0; mend it: uv lock --upgrade-package urllib3==2.0.9" in lines[1]


def test_a_fix_that_a_library_does_not_allow_is_told_and_no_failure() -> None:
    report = {"dependencies": [dependency("pyarrow", "10.0.1", ["14.0.1"], [])]}
    lines, code = verdict(report, OURS)
    assert code == 0
    assert lines == [
        "audited 1 of 1 packages",
        "  pyarrow 10.0.1: PYSEC-0, mended in 14.0.1, which pyarrow<11,>=10 does not allow",
        "  pyarrow 10.0.1: PYSEC-1, no version mends it",
    ]


def test_what_was_not_audited_is_never_called_clean() -> None:
    skipped = {"name": "tfx-bsl", "skip_reason": "not found"}
    assert verdict({"dependencies": [skipped]}, OURS)[0] == [
        "not audited: the index knows no vulnerabilities of any of 1"
    ]
    lines, code = verdict({"dependencies": [skipped, dependency("urllib3", "2.5.0")]}, OURS)
    assert (lines, code) == (["audited 1 of 2 packages", "  not audited: tfx-bsl"], 0)
