"""A standalone Flink cluster on loopback: two task managers, a job server, two worker pools."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

from clusters.downloads import download_archive, download_jars
from clusters.job_server import ADD_OPENS, DETECTOR, compile_additions, missing_job_service
from clusters.pins import Pins
from clusters.pools import NAME, hosts_file, start_pools, wait_for_pools
from clusters.services import Service, Services

PORTS = {"rest": 8081, "rpc": 6123, "job": 8099, "artifact": 8098, "pool": 50000}

_DISTRIBUTION = "apache-flink-libraries"
_TASK_MANAGERS = 2
_SLOTS_EACH = 2

# Flink's distribution brings these itself, some of them relocated or in other versions.
_LEFT_OUT = (
    *("flink-*", "slf4j-api*", "async-profiler*", "listenablefuture*", "kryo-*", "chill-java*"),
    *("minlog*", "objenesis*", "javassist*", "lz4-java*", "snappy-java*", "commons-cli*"),
)
_KEPT_OF_FLINK = ("flink-dist-*", "log4j-*")

_CONFIGURATION = """\
jobmanager.rpc.address: localhost
jobmanager.bind-host: localhost
jobmanager.rpc.port: {rpc}
jobmanager.memory.process.size: 900m
rest.address: localhost
rest.bind-address: localhost
rest.port: {rest}
taskmanager.host: localhost
taskmanager.bind-host: localhost
taskmanager.numberOfTaskSlots: {slots}
taskmanager.memory.process.size: 2000m
# Beam's gRPC ends in "Direct buffer memory" with less.
taskmanager.memory.task.off-heap.size: 512m
taskmanager.memory.network.min: 256mb
taskmanager.memory.network.max: 256mb
taskmanager.memory.managed.fraction: 0.2
taskmanager.network.sort-shuffle.min-buffers: 64
# A job runs on all task managers instead of filling one.
cluster.evenly-spread-out-slots: true
# This strategy counts failures at one time as one. With fixed-delay, each task of a lost task
# manager is a failure, so that one uses up all attempts in a tenth of a second.
restart-strategy.type: exponential-delay
restart-strategy.exponential-delay.attempts-before-reset-backoff: 3
# Longer than a job keeps a worker for its next stage (environment_cache_millis): a restart must
# not get a worker that the failure has killed.
restart-strategy.exponential-delay.initial-backoff: 8 s
restart-strategy.exponential-delay.max-backoff: 30 s
# A killed task manager is noticed in seconds, not in a minute.
heartbeat.interval: 2000
heartbeat.timeout: 15000
io.tmp.dirs: {tmp}
web.submit.enable: false
"""

_LOGGING = """\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %c{1} - %m%n
logger.pekko.name = org.apache.pekko
logger.pekko.level = WARN
"""


def install(pins: Pins, directory: Path) -> None:
    """Downloads Flink and Beam's job server for it into a new directory."""
    flink = download_archive(_DISTRIBUTION, pins, directory / "archives") / "deps"
    beam = directory / "beam"
    jars = download_jars(pins.versions["beam-flink"], pins, beam)
    compile_additions(beam, directory / "additions")
    lib = directory / "lib"
    lib.mkdir()
    for jar in flink.glob("lib/*.jar"):
        if _matches(jar, _KEPT_OF_FLINK):
            shutil.move(jar, lib)
    for jar in jars:
        if not _matches(jar, _LEFT_OUT):
            # Relative, because the whole directory is renamed when it is complete.
            (lib / jar.name).symlink_to(Path("..", beam.name, jar.name))
    shutil.move(flink / "bin" / "bash-java-utils.jar", directory)
    shutil.rmtree(directory / "archives")


def start(
    services: Services, installed: Path, directory: Path, ports: Mapping[str, int]
) -> dict[str, str]:
    """Starts the cluster and waits until it is ready.

    Args:
        services: the record of the cluster's processes.
        installed: directory of `install`.
        directory: directory for configuration and temporary files.
        ports: a port for each name in `PORTS`.

    Returns:
        The pipeline options that choose this cluster.

    Raises:
        ClusterError: a process ended or did not become ready.
    """
    conf = _write_configuration(directory, ports)
    job_manager = services.start(
        "job-manager",
        [
            *("java", *_memory(installed, conf, "GET_JM_RESOURCE_PARAMS")[0], *_java(conf)),
            *("-cp", f"{installed}/additions:{installed}/lib/*"),
            "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
            *("--configDir", str(conf), "--executionMode", "cluster"),
        ],
    )
    managers = [_start_manager(services, installed, conf, n) for n in range(_TASK_MANAGERS)]
    pools = start_pools(services, ports["pool"])
    rest = f"localhost:{ports['rest']}"
    services.wait_until([job_manager, *managers], lambda: _missing_slots(rest), 120)
    endpoint = f"localhost:{ports['job']}"
    job_server = services.start(
        "job-server",
        [
            *("java", "-Xmx512m", *ADD_OPENS),
            *("-cp", f"{installed}/additions:{installed}/lib/*:{installed}/beam/*"),
            f"-Dlog4j.configurationFile={conf / 'log4j.properties'}",
            "org.apache.beam.runners.flink.FlinkJobServerDriver",
            *("--job-host=localhost", f"--job-port={ports['job']}"),
            *(f"--artifact-port={ports['artifact']}", "--expansion-port=-1"),
            *(f"--flink-master={rest}", f"--artifacts-dir={directory / 'artifacts'}"),
        ],
    )
    services.wait_until([job_server], lambda: missing_job_service(endpoint), 60)
    wait_for_pools(services, pools, ports["pool"])
    return {
        "job_endpoint": endpoint,
        "environment_config": f"{NAME}:{ports['pool']}",
        "pipeline_resources_detector_factory_class": DETECTOR,
        "flink_master": f"http://{rest}",
    }


def _start_manager(services: Services, installed: Path, conf: Path, number: int) -> Service:
    jvm, dynamic = _memory(installed, conf, "GET_TM_RESOURCE_PARAMS")
    return services.start(
        f"task-manager-{number + 1}",
        [
            *("java", *jvm, *_java(conf), hosts_file(conf, number)),
            *("-cp", f"{installed}/additions:{installed}/lib/*"),
            "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
            *("--configDir", str(conf), *dynamic),
            *("-D", f"taskmanager.resource-id=task-manager-{number + 1}"),
        ],
    )


def _write_configuration(directory: Path, ports: Mapping[str, int]) -> Path:
    conf, tmp = directory / "conf", directory / "tmp"
    for new in (conf, tmp):
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
    text = _CONFIGURATION.format(**ports, slots=_SLOTS_EACH, tmp=tmp)
    (conf / "flink-conf.yaml").write_text(text)
    (conf / "log4j.properties").write_text(_LOGGING)
    return conf


def _java(conf: Path) -> Sequence[str]:
    return (*ADD_OPENS, f"-Dlog4j.configurationFile={conf / 'log4j.properties'}")


def _memory(installed: Path, conf: Path, command: str) -> tuple[list[str], list[str]]:
    """The options for the JVM and for Flink that Flink computes of its configuration."""
    jars = f"{installed}/bash-java-utils.jar:{installed}/lib/*"
    utils = "org.apache.flink.runtime.util.bash.BashJavaUtils"
    ran = subprocess.run(
        ["java", "-cp", jars, utils, command, "--configDir", str(conf)],
        capture_output=True,
        text=True,
        check=True,
    )
    mark = "BASH_JAVA_UTILS_EXEC_RESULT:"
    lines = [line.removeprefix(mark) for line in ran.stdout.splitlines() if line.startswith(mark)]
    jvm, dynamic = (line.split() for line in lines)
    return jvm, dynamic


def _missing_slots(rest: str) -> str | None:
    with urllib.request.urlopen(f"http://{rest}/overview", timeout=5) as response:
        overview = json.load(response)
    found, free = overview["taskmanagers"], overview["slots-available"]
    if (found, free) == (_TASK_MANAGERS, _TASK_MANAGERS * _SLOTS_EACH):
        return None
    return f"{found} of {_TASK_MANAGERS} task managers registered, {free} slots free"


def _matches(jar: Path, patterns: Sequence[str]) -> bool:
    return any(fnmatch(jar.name, pattern) for pattern in patterns)
