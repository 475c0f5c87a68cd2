"""A daemon's metrics say up to when no event is missing, and how long its position stays readable."""

from pathlib import Path

import pytest

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from tests.configuration import CHANGES, ORDERS, sandbox_configuration, written
from tests.in_process import running
from tests.waiting import until

NAMES = ("checkpoint_verified_timestamp_seconds", "checkpoint_expires_timestamp_seconds")
DAYS_S = 24 * 3600


async def test_position_of_a_channel_is_shown_from_its_checkpoint_on(tmp_path: Path) -> None:
    """Also by a process that begins where another has ended, before anything comes."""
    async with Sandbox(SystemClock()) as sandbox:
        log = {"sqlite": {"path": str(tmp_path / "log.db")}}
        config = written(tmp_path, sandbox_configuration(sandbox.url, log=log))
        shown: list[list[float | None]] = []
        for _ in range(2):
            async with running(config) as app:

                def values(path: str) -> list[float | None]:
                    shows = app.observers.metrics.registry.get_sample_value
                    return [shows(f"streamer_{each}", {"channel": path}) for each in NAMES]

                if not shown:
                    with sandbox.org.transaction() as transaction:
                        transaction.create("Account", {"Name": "Acme"})
                await until(lambda: values(CHANGES)[0])
                shown.append(values(CHANGES))
                assert values(ORDERS) == [None, None]

    first, second = shown
    assert first == second
    verified_at, expires_at = first
    assert verified_at is not None
    assert expires_at == pytest.approx(verified_at + 3 * DAYS_S)
