"""A standalone Spark cluster on loopback: two workers, a job server, two worker pools."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path

from clusters.downloads import download_archive, download_jars
from clusters.job_server import ADD_OPENS, DETECTOR, compile_additions, missing_job_service
from clusters.pins import Pins
from clusters.pools import NAME, hosts_file, start_pools, wait_for_pools
from clusters.services import Service, Services

PORTS = {"web": 8080, "master": 7077, "job": 8199, "artifact": 8198, "pool": 50100}

_WORKERS = 2
_EXECUTOR_MEMORY = "1200m"
_WORKER_MEMORY = "1600m"
"""Spark adds an overhead of 384 MB to an executor's memory."""

# Spark brings these itself, in other versions.
_LEFT_OUT = ("slf4j-*", "jackson-*", "listenablefuture*", "avro-*")


def install(pins: Pins, directory: Path) -> None:
    """Downloads Spark and Beam's job server for it into a new directory."""
    spark = download_archive("pyspark", pins, directory / "archives") / "deps"
    shutil.move(spark, directory / "spark")
    shutil.rmtree(directory / "archives")
    beam = directory / "beam"
    for jar in download_jars(pins.versions["beam-spark"], pins, beam):
        if any(fnmatch(jar.name, pattern) for pattern in _LEFT_OUT):
            jar.unlink()
    compile_additions(beam, directory / "additions")


def start(
    services: Services, installed: Path, directory: Path, ports: Mapping[str, int]
) -> dict[str, str]:
    """Starts the cluster and waits until it is ready.

    Args:
        services: the record of the cluster's processes.
        installed: directory of `install`.
        directory: directory for the executors' logs and temporary files.
        ports: a port for each name in `PORTS`.

    Returns:
        The pipeline options that choose this cluster, and the address of the master's web page.

    Raises:
        ClusterError: a process ended or did not become ready.
    """
    home = installed / "spark"
    environment = {
        "SPARK_HOME": str(home),
        "SPARK_SCALA_VERSION": "2.12",
        # Without it, web pages listen on all interfaces.
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(directory / "tmp"),
    }
    master_url, web = f"spark://localhost:{ports['master']}", f"localhost:{ports['web']}"
    master = services.start(
        "master",
        [
            *("java", "-Xmx400m", *ADD_OPENS, "-cp", f"{home}/jars/*"),
            *("org.apache.spark.deploy.master.Master", "--host", "localhost"),
            *("--port", str(ports["master"]), "--webui-port", str(ports["web"])),
        ],
        environment,
    )
    workers = [
        _start_worker(services, home, directory, master_url, number, environment)
        for number in range(_WORKERS)
    ]
    pools = start_pools(services, ports["pool"])
    services.wait_until([master, *workers], lambda: _missing_workers(web), 120)
    endpoint = f"localhost:{ports['job']}"
    job_server = services.start(
        "job-server",
        [
            *("java", "-Xmx512m", *ADD_OPENS),
            *("-cp", f"{installed}/additions:{installed}/beam/*:{home}/jars/*"),
            f"-Dspark.executor.extraClassPath={installed}/additions:{installed}/beam/*",
            f"-Dspark.executor.memory={_EXECUTOR_MEMORY}",
            *("-Dspark.driver.host=localhost", "-Dspark.driver.bindAddress=127.0.0.1"),
            "-Dspark.ui.enabled=false",
            "org.apache.beam.runners.spark.SparkJobServerDriver",
            *("--job-host=localhost", f"--job-port={ports['job']}"),
            *(f"--artifact-port={ports['artifact']}", "--expansion-port=-1"),
            *(f"--spark-master-url={master_url}", f"--artifacts-dir={directory / 'artifacts'}"),
        ],
        environment,
    )
    services.wait_until([job_server], lambda: missing_job_service(endpoint), 60)
    wait_for_pools(services, pools, ports["pool"])
    return {
        "job_endpoint": endpoint,
        "environment_config": f"{NAME}:{ports['pool']}",
        "pipeline_resources_detector_factory_class": DETECTOR,
        "web": f"http://{web}",
    }


def _start_worker(
    services: Services,
    home: Path,
    directory: Path,
    master_url: str,
    number: int,
    environment: Mapping[str, str],
) -> Service:
    work = directory / f"work-{number + 1}"
    shutil.rmtree(work, ignore_errors=True)
    # The worker starts the executors, which inherit this variable, unlike its command line.
    options = {"JAVA_TOOL_OPTIONS": hosts_file(directory, number)}
    return services.start(
        f"worker-{number + 1}",
        [
            *("java", "-Xmx300m", *ADD_OPENS, "-cp", f"{home}/jars/*"),
            *("org.apache.spark.deploy.worker.Worker", master_url, "--host", "localhost"),
            *("--cores", "1", "--memory", _WORKER_MEMORY, "--webui-port", "0"),
            *("--work-dir", str(work)),
        ],
        {**environment, **options},
    )


def _missing_workers(web: str) -> str | None:
    with urllib.request.urlopen(f"http://{web}/json/", timeout=5) as response:
        found = json.load(response)["aliveworkers"]
    return None if found == _WORKERS else f"{found} of {_WORKERS} workers registered"
