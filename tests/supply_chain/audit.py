"""Known vulnerabilities of the locked packages, and what can be done about each.

Fails only where a version that mends one is allowed by everybody who needs the package: then
`uv lock --upgrade-package` is all there is to do. What nothing can be done about is printed. So is,
in one line, that nothing was audited: without a network, or behind an index that knows of no
vulnerabilities, this says nothing about the packages.

    python tests/supply_chain/audit.py requirements.txt
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version


@dataclass(frozen=True)
class Vulnerability:
    """A known vulnerability of a locked version; `fixed_in` are versions that mend it."""

    package: str
    version: str
    id: str
    fixed_in: tuple[str, ...]


def main(requirements: str) -> int:
    """Prints what is known; 1 where an upgrade within our bounds would mend something."""
    ran = subprocess.run(
        [
            sys.executable, "-m", "pip_audit", "--requirement", requirements, "--disable-pip",
            "--require-hashes", "--progress-spinner=off", "--format=json",
        ],
        capture_output=True,
        text=True,
    )  # fmt: skip
    try:
        report = json.loads(ran.stdout)
    except ValueError:
        words = ran.stderr.strip().splitlines() or ["no answer"]
        print(f"not audited: pip-audit got no answer, are we offline? {words[-1]}")
        return 0
    lines, code = verdict(report, list(_requirements()))
    print("\n".join(lines))
    return code


def verdict(
    report: Mapping[str, Any], requirements: Iterable[Requirement]
) -> tuple[list[str], int]:
    """What to print, and the exit code.

    Args:
        report: pip-audit's own, as JSON.
        requirements: all that anybody here requires.
    """
    requirements = list(requirements)
    known = report["dependencies"]
    skipped = [each for each in known if "skip_reason" in each]
    if len(skipped) == len(known):
        return [f"not audited: the index knows no vulnerabilities of any of {len(known)}"], 0
    lines = [f"audited {len(known) - len(skipped)} of {len(known)} packages"]
    lines += [f"  not audited: {each['name']}" for each in skipped]
    code = 0
    for found in _vulnerabilities(known):
        text = f"  {found.package} {found.version}: {found.id}"
        refusals = [_refusal(found.package, fix, requirements) for fix in found.fixed_in]
        if not refusals:
            text += ", no version mends it"
        elif None in refusals:
            code = 1
            fix = found.fixed_in[refusals.index(None)]
            text += f"; mend it: uv lock --upgrade-package {found.package}=={fix}"
        else:
            text += f", mended in {found.fixed_in[-1]}, which {refusals[-1]} does not allow"
        lines.append(text)
    return lines, code


def _vulnerabilities(known: Iterable[Mapping[str, Any]]) -> Iterator[Vulnerability]:
    for each in known:
        for found in each.get("vulns", ()):
            fixes = tuple(sorted(found["fix_versions"], key=Version))
            yield Vulnerability(each["name"], each["version"], found["id"], fixes)


def _refusal(package: str, version: str, requirements: Iterable[Requirement]) -> str | None:
    """The requirement that does not allow a version of a package; None where all do."""
    name = canonicalize_name(package)
    for each in requirements:
        if canonicalize_name(each.name) == name and version not in each.specifier:
            return str(each)
    return None


def _requirements() -> Iterator[Requirement]:
    """Everything that what is installed here requires, ourselves included."""
    for distribution in importlib.metadata.distributions():
        for text in distribution.requires or ():
            try:
                found = Requirement(text)
            except InvalidRequirement:
                continue
            if found.marker is None or found.marker.evaluate({"extra": ""}):
                yield found


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
