"""An unexpected error in a log file's thread reaches everyone who waits for it."""

from pathlib import Path

import pytest

from streamer.clock import SystemClock
from streamer.log.sqlite.database.worker import Worker
from streamer.observe.pulse import Pulses
from tests.waiting import limited


class Bug(Exception):
    """Error that no one has thought of."""


def fails(_: object) -> None:
    """Fail."""
    raise Bug


async def test_bug_in_one_result_does_not_cost_the_others_theirs(tmp_path: Path) -> None:
    """They were committed together, and each caller is told."""
    worker = Worker.writing(tmp_path / "log.db", group_weight=100, pulses=Pulses(SystemClock()))
    async with limited("the results"), worker as writer:
        before = writer.submit(lambda _: 1)
        broken = writer.submit(lambda _: 2, then=fails)
        after = writer.submit(lambda _: 3)

        assert await before == 1
        with pytest.raises(Bug):
            await broken
        assert await after == 3


async def test_bug_in_the_thread_ends_every_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who come later are told at once, and the worker can be closed."""
    worker = Worker.writing(tmp_path / "log.db", group_weight=100, pulses=Pulses(SystemClock()))
    async with limited("the results"), worker as writer:
        monkeypatch.setattr(writer, "_run_group", fails)
        with pytest.raises(Bug):
            await writer.submit(lambda _: 1)
        with pytest.raises(Bug):
            await writer.submit(lambda _: 2)
