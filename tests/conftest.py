"""The real parts that several folders of tests share."""

import logging
import os
import sys
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from streamer.known_secrets import KNOWN
from tests.integration.kafka.topics import warm_up
from tools.kafka.broker import STEADY, Broker
from tools.registry.apicurio import Apicurio

# A killed process's open transaction ends when its time is up, and not up to ten seconds later.
_PROMPT = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "500"}

# On import it builds forty parsers of addresses, 1.7 s of a processor in each process. jsonschema imports
# it where it is there, for formats that no test checks.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type] # what the import system is told so

# How fast this machine is at the moment says nothing about the code.
settings.register_profile(
    "unhurried",
    deadline=None,
    max_examples=int(os.environ.get("EXAMPLES", "50")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("unhurried")


class Scheduling(LoadScopeScheduling):
    """Gives a process a file of tests at a time, and of acceptance tests one.

    Tests of a file share brokers, which so start once. Acceptance tests are
    long: none waits behind another of its file while a process has nothing to do.
    """

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.startswith("tests/acceptance/") else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Share the tests out in the order in which they are collected."""
    config.option.loadscopereorder = False
    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """Undo what a command, called in this process, made of its logs: the next test looks at them too."""
    former, root = structlog.get_config(), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    if structlog.get_config() != former:
        structlog.configure(**former)
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(capture=False)


@pytest.fixture(autouse=True)
def _no_secret_of_another_test() -> Iterator[None]:
    """Forget the secrets that a test made this process use: the next one can write them as words."""
    yield
    KNOWN.clear()


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The address of a real Kafka: the one that STREAMER_KAFKA names, or our own for this run."""
    address = os.environ.get("STREAMER_KAFKA")
    if address:
        yield address
        return
    with Broker(settings=STEADY | _PROMPT) as broker:
        warm_up(broker.bootstrap)
        yield broker.bootstrap


@pytest.fixture(scope="session")
def registry_url() -> Iterator[str]:
    """The address of a real schema registry: the one that STREAMER_REGISTRY names, or our own."""
    address = os.environ.get("STREAMER_REGISTRY")
    if address:
        yield address
        return
    with Apicurio() as registry:
        yield registry.url
