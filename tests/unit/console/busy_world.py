"""A daemon with sixty subscribers that all have something to show on every page, and four other processes."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import yaml

from streamer.console.samples import Sample, Series, SubscriberValues
from streamer.controls import AuditRecord
from streamer.dispatch.admission.circuit_breaker import BreakerLimits
from streamer.dispatch.delivery.retry_schedule import RetrySchedule
from streamer.dispatch.delivery.route import Route
from streamer.events import Event, Repair, Stage
from streamer.settings import Settings
from tests.contracts.values import a_dead_letter, an_append, an_event, append_to
from tests.unit.admin.processes.others import tell
from tests.unit.admin.test_problem_findings import HOLE
from tests.unit.admin.world import SETTINGS, Plan
from tests.unit.admin.world import World as Api
from tests.unit.console.world import Browser, World
from tests.unit.dispatch.world import TARGET
from tests.unit.dispatch.world import World as Dispatch

SUBSCRIBERS = 60
OTHER_PROCESSES = 4
RECORD = "8015g00000AbC45AAD"
_ERROR = "answered 422: the field Amount__c of the order must have a value between 1 and 1,000,000. " * 3
_MANY = 200


def _settings() -> Settings:
    names = [TARGET, *(f"subscriber-{number}-of-many" for number in range(SUBSCRIBERS - 1))]
    own = {"uses": "webhook", "on": "salesforce.cdc.*", "settings": {"url": "https://erp.example/api/orders"}}
    org = SETTINGS.org.model_dump(mode="json", include={"login_url"})
    auth = {"flow": "client_credentials", "client_id": "app", "client_secret": "canary"}
    log = {"kafka": {"bootstrap_servers": "kafka:9092"}}
    channels = ["/data/ChangeEvents", *(f"/event/Order_Placed_{number}__e" for number in range(11))]
    return Settings.model_validate(
        {
            "org": {**org, "auth": auth},
            "log": log,
            "channels": channels,
            "subscribers": dict.fromkeys(names, own),
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BusyWorld:
    """Console of such a daemon. `letter` is the id of a dead letter, and `event` of an event."""

    browser: Browser
    letter: str
    event: str

    @classmethod
    @asynccontextmanager
    async def opened(cls) -> AsyncIterator["BusyWorld"]:
        """Serve the console inside the context, after an hour in which attempts have failed."""
        settings = _settings()
        api = Api(dispatch=_dispatch())
        api.daemon.plan = Plan(
            settings=settings,
            subscribers={name: lambda: api.tried for name in settings.subscribers},
            routes={name: Route(name=name) for name in settings.subscribers},
        )
        world = World(api=api, configuration=yaml.safe_dump(settings.model_dump(mode="json")))
        letters = await _fill(api)
        async with world.opened() as browser, api.dispatch.running() as dispatcher:
            for name in settings.subscribers:
                api.daemon.dispatchers[name] = dispatcher
                browser.context.status.subscribers.started(name, dispatcher)
            api.dispatch.target.down = True
            await append_to(api.log, an_append(*map(_order, range(_MANY))))
            await api.dispatch.quiet()
            await api.clock.turn(720)
            _sample_an_hour(browser, api.clock.now(), settings.subscribers)
            await _share(browser, api)
            yield cls(browser=browser, letter=letters[0], event=_order(0).id)


def _dispatch() -> Dispatch:
    schedule = RetrySchedule(first_delay_s=60.0, max_delay_s=60.0, give_up_after_s=1e9, fast_tries=0)
    return Dispatch(schedule=schedule, breaker=BreakerLimits(), receipts=True)


async def _share(browser: Browser, api: Api) -> None:
    """Let other processes have reported as much as this one, and a sample each minute."""
    state = (await browser.context.flow.own_state({}, None)).as_body()
    sample = browser.context.sampler._kept._kept[-1].as_json()
    for number in range(OTHER_PROCESSES):
        tell(api, f"streamer-{number}", state)
        for minute in range(60):
            tell(api, f"streamer-{number}", sample, age_s=60.0 * minute, kind="sample")


def _order(number: int) -> Event:
    name = f"0007b1d2-6a5e-4f0e-9f9b-2f7f3c1a4d55:{number}:{RECORD}"
    return an_event(name, what="salesforce.cdc.Order.updated", key=f"order-{number}")


async def _fill(api: Api) -> list[str]:
    """Put holes, audit records and dead letters of all subscribers into the log; return the letters' ids."""
    now, ids = api.clock.now(), []
    names = list(api.daemon.plan.settings.subscribers)
    for number in range(_MANY):
        name, at = names[number % SUBSCRIBERS], now - 60 * number
        letter = a_dead_letter(f"a:{number}:{name}", stage=Stage.DISPATCH, error=_ERROR)
        api.keep(letter, subscriber=name, failed_at=at, event=_order(number), raw=b"")
        ids.append(letter.id)
        state = [Repair.NONE, Repair.OPEN, Repair.FULL][number % 3]
        hole = replace(HOLE, id=str(number), recorded_at=at, detail=_ERROR, state=state)
        api.log.continuity.append(hole)
        paused = AuditRecord(
            at=at, what="subscriber.paused", by="Anna", subscriber=name, detail={"reason": _ERROR}
        )
        await api.log.controls.note(paused)
    return ids


def _sample_an_hour(browser: Browser, now: float, names: Collection[str]) -> None:
    kept = browser.context.sampler._kept
    for step in range(360):
        values = dict.fromkeys(Series, float(step * step))
        each = SubscriberValues.of(dict.fromkeys(names, values), tuple(names))
        kept.add(Sample(at=now - 10 * (360 - step), values=values, subscribers=each))
