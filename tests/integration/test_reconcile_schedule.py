"""A daemon compares the org with its log by itself."""

from pathlib import Path

import pytest

from streamer.clock import SystemClock
from streamer.configuration import load, load_document
from streamer.errors import ConfigurationError
from streamer.sandbox import Sandbox
from tests.configuration import CHANGES, sandbox_configuration, written
from tests.in_process import running
from tests.waiting import until


async def test_process_that_owns_the_channel_follows_the_schedule(tmp_path: Path) -> None:
    """A log that has begun just now has nothing to compare, and says when it is due."""
    async with Sandbox(SystemClock()) as sandbox:
        log = {"sqlite": {"path": str(tmp_path / "log.db")}}
        configuration = sandbox_configuration(sandbox.url, log=log, subscribers={}, channels=[CHANGES])
        configuration["reconcile"] = {"entities": ["Account"], "every": "1h"}
        async with running(written(tmp_path, configuration)) as daemon:
            registry = daemon.observers.metrics.registry
            due = "streamer_reconcile_due_timestamp_seconds"
            await until(lambda: registry.get_sample_value(due, {"entity": "Account"}))
            assert (
                registry.get_sample_value("streamer_reconcile_failures_total", {"entity": "Account"}) is None
            )


@pytest.mark.parametrize(
    ("reconcile", "mistake"),
    [
        ({"entities": ["Account"], "every": "24"}, "every"),
        ({"entities": ["Account"], "every": "10m"}, "every"),
        ({"entities": []}, "entities"),
        ({"entities": ["Account"]}, "no channel carries the changes of Account"),
    ],
)
def test_mistakes_are_refused(tmp_path: Path, reconcile: dict[str, object], mistake: str) -> None:
    """Before the daemon starts."""
    configuration = sandbox_configuration(
        "http://localhost:1", log={}, subscribers={}, channels=["/event/Order__e"]
    )
    configuration["reconcile"] = reconcile
    with pytest.raises(ConfigurationError, match=mistake):
        load(load_document([written(tmp_path, configuration)]))
