"""Downloaded jars are the pinned ones."""

from pathlib import Path

import pytest
from clusters.pins import ChecksumError, Pins, check_jars, read_pins, sha256, write_jars


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    path = tmp_path / "beam-1.jar"
    path.write_bytes(b"beam")
    return path


def pins(**jars: str) -> Pins:
    return Pins({}, {}, {name.replace("_", "-") + ".jar": digest for name, digest in jars.items()})


def test_the_pinned_jar_is_accepted(jar: Path) -> None:
    check_jars([jar], pins(beam_1=sha256(jar)))


def test_a_jar_with_another_content_is_refused_by_name(jar: Path) -> None:
    with pytest.raises(ChecksumError, match=r"beam-1\.jar has SHA-256 .*, but .* has 0000"):
        check_jars([jar], pins(beam_1="0000"))


def test_an_unknown_jar_is_refused_by_name(jar: Path) -> None:
    with pytest.raises(ChecksumError, match=r"beam-1\.jar .* has no entry for it"):
        check_jars([jar], pins())


def test_new_checksums_replace_old_ones_and_keep_the_versions(jar: Path, tmp_path: Path) -> None:
    file = tmp_path / "pins.toml"
    file.write_text('[versions]\nbeam = "1"\n\n[archives]\n\n[jars]\n"old.jar" = "00"\n')
    write_jars([jar, jar], file)
    found = read_pins(file)
    assert found.versions == {"beam": "1"}
    assert found.jars == {"beam-1.jar": sha256(jar)}


def test_every_download_is_pinned() -> None:
    found = read_pins()
    assert set(found.archives) <= set(found.versions)
    runners = ("beam-flink", "beam-spark")
    wanted = {f"{found.versions[name]}-{found.versions['beam']}.jar" for name in runners}
    assert wanted <= set(found.jars)
