"""The machine and the versions of a measurement."""

import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path

import confluent_kafka

from streamer import DISTRIBUTION
from tools.kafka.jars import VERSION

_LIBRARIES = ("aiohttp", "orjson", "grpcio", "fastavro", "confluent-kafka", "aiokafka", "aiocometd-ng")


def described() -> dict[str, str]:
    """Return what a reader must know to compare."""
    libraries = {name: version(name) for name in _LIBRARIES}
    return {
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "streamer": version(DISTRIBUTION),
        **libraries,
        "librdkafka": confluent_kafka.libversion()[0],
        "sqlite": sqlite3.sqlite_version,
        "kafka": os.environ.get("STREAMER_KAFKA_VERSION", VERSION),
        "load": f"{os.getloadavg()[0]:.1f} when the bench began",
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
