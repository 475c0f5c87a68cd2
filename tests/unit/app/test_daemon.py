"""The daemon applies changed settings of the org, and keeps the old ones if Salesforce refuses the login."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from streamer.app.daemon import App, Role
from streamer.app.ingest.ingesting import SalesforceReading
from streamer.app.plan import plan
from streamer.app.supervising import DaemonOptions
from streamer.clock import SystemClock, TurnedClock
from streamer.configuration import Document, load_document
from streamer.errors import ConfigurationError, CredentialsRefused, LogMisconfigured, Stop
from streamer.log.memory import MemoryLog
from streamer.settings import ProtectRule, Settings, StateSettings
from tests.configuration import sandbox_configuration, written
from tests.unit.app.test_dispatching import ONE, World
from tests.waiting import until

REFUSED, ENDS, READS = "refused", "ends", "reads"


@dataclass
class Salesforce:
    """Salesforce's side: treats each attempt to read as a test says, and keeps the attempts."""

    app: App
    answers: deque[str]
    tried: list[str] = field(default_factory=list)

    def ingesting(self) -> "Reading":
        """Return what reads as configured now."""
        self.app.status.reading.started()
        self.tried.append(self.app.in_effect.settings.org.api_version)
        return Reading(self, self.answers.popleft())


@dataclass
class Reading:
    """One way of reading."""

    salesforce: Salesforce
    answer: str

    async def run(self, _log: object) -> None:
        """Log in and read, or be refused."""
        await asyncio.sleep(0)
        if self.answer == REFUSED:
            raise CredentialsRefused("Salesforce refused the login")
        self.salesforce.app.status.reading.logged_in()
        if self.answer == ENDS:
            raise LogMisconfigured("a second owner")
        await asyncio.Event().wait()


@asynccontextmanager
async def reading(
    monkeypatch: pytest.MonkeyPatch, *answers: str
) -> AsyncIterator[tuple[Salesforce, "asyncio.Task[None]"]]:
    """Read with API version 64.0, as `answers` say."""
    app = App.of(World().plan(), TurnedClock())
    salesforce = Salesforce(app, deque(answers))
    monkeypatch.setattr(SalesforceReading, "_ingesting", lambda _: salesforce.ingesting())
    task = asyncio.create_task(app.reading.run(cast("Any", None)))
    await settled()
    try:
        yield salesforce, task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def configure(app: App, version: str) -> None:
    """Have Salesforce read with another version of its API."""
    settings = app.in_effect.settings
    org = settings.org.model_copy(update={"api_version": version})
    wanted: Settings = settings.model_copy(update={"org": org})
    app.in_effect.apply(replace(app.in_effect.plan, settings=wanted))
    await settled()


async def settled() -> None:
    """Let everything happen that needs no time."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_refused_login_brings_the_former_way_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """When that is refused too, somebody has to act: trying both in turn would lock the user out."""
    async with reading(monkeypatch, READS, REFUSED, REFUSED) as (salesforce, task):
        await configure(salesforce.app, "65.0")
        assert salesforce.tried == ["64.0", "65.0", "64.0"]
        failure = task.exception()
    assert isinstance(failure, ExceptionGroup)
    assert failure.subgroup(CredentialsRefused)


async def test_former_way_that_works_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next configuration is tried as the first was."""
    async with reading(monkeypatch, READS, REFUSED, READS, READS) as (salesforce, task):
        await configure(salesforce.app, "65.0")
        await configure(salesforce.app, "66.0")
        assert (salesforce.tried, task.done()) == (["64.0", "65.0", "64.0", "66.0"], False)


async def test_what_stops_reading_later_is_not_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is sent back to another org in silence."""
    async with reading(monkeypatch, READS, ENDS) as (salesforce, task):
        await configure(salesforce.app, "65.0")
        assert salesforce.tried == ["64.0", "65.0"]
        failure = task.exception()
    assert isinstance(failure, ExceptionGroup)
    assert failure.subgroup(Stop)
    assert salesforce.app.in_effect.settings.org.api_version == "65.0"


async def test_nothing_is_ready_before_the_first_step_of_what_reads_and_delivers() -> None:
    """A probe that asked between the log's opening and that step was told that all is well."""
    world = World()
    app = App.of(world.plan(ONE), world.clock)
    app.status.log.opened(cast("Any", world.log))
    serving = asyncio.create_task(app._serve(cast("Any", world.log), asyncio.Event()))
    await asyncio.sleep(0)
    try:
        assert app.status.reading.has_begun
        assert app.status.subscribers.absent == {ONE}
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def test_changed_rules_protect_from_the_next_event_on() -> None:
    """Without a new login, and said in the audit."""
    options = DaemonOptions(reread=lambda: Document(data={}))
    app = App.of(World().plan(), TurnedClock(), options=options)
    former = app.in_effect.settings
    rule = ProtectRule.model_validate({"entity": "*", "fields": "Email", "how": "drop"})
    wanted = former.model_copy(update={"protect": (rule,)})
    with capture_logs() as lines:
        assert app.supervising.reloading is not None
        await app.supervising.reloading.apply(
            replace(app.in_effect.plan, settings=wanted, warnings=("doubtful",))
        )

    assert app.in_effect.protection.rules == (rule,)
    assert not app.in_effect.source_replaced.is_set()
    told = {line["event"]: line for line in lines}
    assert told["configuration.applied"]["protection_changed"] is True
    assert told["configuration.applied"]["waiting_for_restart"] == []
    assert told["configuration.doubtful"]["reason"] == "doubtful"
    assert told["audit.not_kept"]["what"] == "configuration.applied", "the log is not open yet"


@pytest.mark.parametrize(("configured", "expected"), [(None, "127.0.0.2"), ("127.0.0.1", "127.0.0.1")])
async def test_probes_listen_where_the_process_runs_unless_a_host_is_configured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, configured: str | None, expected: str
) -> None:
    """The default is of the machine or the container: here, an address that nothing else has."""
    monkeypatch.setattr("streamer.app.supervising.default_host", lambda: "127.0.0.2")
    log = {"sqlite": {"path": str(tmp_path / "log.db")}}
    configuration = sandbox_configuration("http://localhost:9", log=log)
    configuration["observe"] = {"port": 0} | ({"host": configured} if configured else {})
    checked = plan(load_document([written(tmp_path, configuration)]), SystemClock())
    app = App.of(checked, SystemClock())
    stopping = asyncio.Event()
    with capture_logs() as lines:
        running = asyncio.create_task(app.run(stopping))
        await until(lambda: any(line["event"] == "observe.listening" for line in lines))
        stopping.set()
        await running

    assert [line["host"] for line in lines if line["event"] == "observe.listening"] == [expected]


@pytest.mark.parametrize("role", Role)
def test_states_are_kept_wherever_events_are_delivered(role: Role) -> None:
    """A split into ingest and dispatch keeps them too; without objects, no process does."""
    without = World().plan()
    state = StateSettings(objects=("Account",))
    with_states = replace(without, settings=without.settings.model_copy(update={"state": state}))

    keeper = App.of(with_states, TurnedClock(), role)._keeper(cast("Any", MemoryLog()))
    assert (keeper is None) == (role is Role.INGEST)
    if role is Role.STATE:
        with pytest.raises(ConfigurationError, match="needs the section state"):
            App.of(without, TurnedClock(), role)
    else:
        assert App.of(without, TurnedClock(), role)._keeper(cast("Any", MemoryLog())) is None
