"""A page of one of several processes adds up all that answer, names them, and says which are missing."""

import re

import pytest

from streamer.admin.problems.findings import ProcessCondition
from streamer.console.charts import charts
from streamer.console.samples import EVERY_S, Sampler, Samples, Series, summed
from streamer.events import Delivered, SubscriberName
from streamer.flow.flow_map import Level
from streamer.flow.process_reporter import ProcessReporter
from streamer.log.records import encode_process_record
from streamer.observe.metrics import Metrics
from streamer.ports import ProcessRecord, ProcessRecordKind
from streamer.settings import AdminSettings, Settings
from tests.unit.admin.processes.others import a_key, a_share, failing, tell
from tests.unit.admin.world import SETTINGS
from tests.unit.console.world import Browser, World
from tests.unit.dispatch.world import TARGET

OTHER = "https://streamer-1.example.com/console"
PAGES = ("", "/channels", "/charts", "/subscribers", f"/subscribers/{TARGET}", "/problems", "/parked")
STATE = {
    "subscribers": a_share("failing", lag=5, parked=2, failing=failing("10:00:00", "10:05:00")),
    "channels": {
        "/data/ChangeEvents": {"word": "reading", "level": "good", "per_second": 12.0, "verified_at": 1.0}
    },
    "parked_keys": {TARGET: 2},
    "parked": [a_key("0015g00000AAAAA", "10:00:00")],
    "counts": {"events": 700.0, "delivered": 650.0},
}


def share(world: World, *others: str) -> None:
    """Let the daemon's log be in Kafka, and its configuration name the consoles of other processes."""
    settings = SETTINGS.model_dump(mode="python")
    settings["log"] = {"kafka": {"bootstrap_servers": "kafka:9092"}}
    settings["admin"] = {"console": {"others": others}}
    world.api.daemon.plan.settings = Settings.model_validate(settings)


def words(text: str) -> str:
    """Return what a reader sees of a page."""
    return " ".join(re.sub("<[^>]+>", " ", text).split())


@pytest.mark.parametrize("path", PAGES)
async def test_page_names_all_processes(world: World, browser: Browser, path: str) -> None:
    """And leads to the consoles that are configured; a log with one process has nothing to say."""
    world.api.daemon.dispatchers[TARGET] = world.api.dispatch.dispatcher()
    alone = words((await browser.get(path)).text)
    share(world, OTHER)
    tell(world.api, "streamer-1", STATE)
    world.api.clock.jump(6.0)
    shared = (await browser.get(path)).text

    assert "(this one)" not in alone
    name = browser.context.flow.process.name
    assert f"2 processes: {name} (this one), streamer-1." in words(shared)
    assert f'<a href="{OTHER}">{OTHER}</a>' in shared


async def test_map_adds_up_all_processes(world: World, browser: Browser) -> None:
    """Rates and waiting events are sums, the channel comes from its owner, and the worst state counts."""
    share(world)
    tell(world.api, "streamer-1", STATE)
    tell(world.api, "streamer-2", {"subscribers": a_share(lag=4, oldest_waits_s=70.0)})
    flow = (await browser.context.flow.facts()).map
    page = words((await browser.get("")).text)

    target = flow.subscribers[0]
    assert (target.lag, target.oldest_s, target.parked, target.per_second) == (9, 70.0, 2, 5.0)
    assert (target.state.word, target.state.since) == ("failing", 1_735_725_600.0)
    assert (flow.channels[0].state.word, flow.channels[0].per_second) == ("reading", 12.0)
    assert flow.channels[0].state.level is Level.GOOD
    assert "Events not settled 9" in page
    assert "Events into the log, last minute 700" in page


async def test_channel_is_shown_as_its_owner_knows_it(world: World, browser: Browser) -> None:
    """This process does not read it."""
    share(world)
    tell(world.api, "streamer-1", STATE)
    page = words((await browser.get("/channels")).text)

    assert "/data/ChangeEvents reading streamer-1 1970-01-01 00:00:01 UTC" in page


async def test_parked_keys_of_other_processes_are_on_the_page(world: World, browser: Browser) -> None:
    """With the process that has parked them."""
    share(world)
    tell(world.api, "streamer-1", STATE)
    page = words((await browser.get("/parked")).text)

    assert "2 parked keys." in page
    assert "0015g00000AAAAA" in page
    assert page.index("streamer-1") < page.index("2 processes")


async def test_page_says_which_process_is_missing(world: World, browser: Browser) -> None:
    """The verdict is only about those that answer."""
    share(world)
    tell(world.api, "streamer-1", {}, age_s=60)
    page = words((await browser.get("")).text)

    assert "Everything flows in the processes that answer" in page
    assert "streamer-1 has gone or does not answer: its last report is 60 s old." in page


async def test_subscriber_of_another_process_has_its_charts(world: World, browser: Browser) -> None:
    """This process delivers nothing to it."""
    share(world)
    sampler = Sampler(registry=Metrics(clock=world.api.clock).registry, clock=world.api.clock)
    tell(world.api, "streamer-1", STATE)
    tell(world.api, "streamer-1", sampler.newest().as_json(), kind="sample")
    page = (await browser.get(f"/subscribers/{TARGET}")).text

    assert "The last hour" in page
    assert "5 events wait." in words(page)


@pytest.mark.parametrize(
    "body", [None, {}, {"values": 1}, {"values": {}, "subscribers": ["a"], "numbers": "x"}]
)
def test_damaged_sample_is_left_out(body: dict[str, object] | None) -> None:
    """Charts show the others."""
    record = ProcessRecord(
        process="streamer-1", instance="1", kind=ProcessRecordKind.SAMPLE, at=1.0, body=body
    )
    assert Samples.of_records([record]).names == ()
    assert Samples.of_records([record]).newest_at == 0.0


async def test_charts_of_several_processes_are_sums(world: World) -> None:
    """Counts begin at zero, so a process that comes later makes no jump."""
    clock, metrics = world.api.clock, Metrics(clock=world.api.clock)
    delivered = metrics.subscriber(SubscriberName("erp")).attempts.outcomes[Delivered]
    sampler, other = Sampler(registry=metrics.registry, clock=clock), Samples()
    for number in range(61):
        delivered.inc()
        taken = sampler.newest()
        sampler._kept.add(taken)
        if number % 6 == 0 and number >= 30:
            other.add(taken)
        await clock.turn(EVERY_S)
    total = summed([sampler.samples(), other], clock.now())

    assert total.growth(Series.DELIVERED, 3_600) == pytest.approx(60 + 30, abs=1)
    assert max(point.value or 0.0 for point in total.rates(Series.DELIVERED)) == pytest.approx(0.2)


async def test_charts_of_several_processes_are_lines_with_gaps(world: World) -> None:
    """The sum has a point each minute, and nothing where no process has reported, as after a restart."""
    clock = world.api.clock
    sampler = Sampler(registry=Metrics(clock=clock).registry, clock=clock)
    former, own = Samples(), Samples()
    for _ in range(6):
        former.add(sampler.newest())
        await clock.turn(60.0)
    await clock.turn(300.0)
    for _ in range(31):
        own.add(sampler.newest())
        await clock.turn(EVERY_S)
    memory = charts(summed([own, former], clock.now()), clock.now())[-1].svg

    lines = re.findall('class="line line-0( dot)?" d="([^"]*)"', memory)
    assert [dot for dot, _ in lines] == ["", ""]
    assert all(drawn.count("L") >= 3 for _, drawn in lines)


async def test_one_process_keeps_its_fine_samples(world: World) -> None:
    """Nothing changes without others."""
    own = Sampler(registry=Metrics(clock=world.api.clock).registry, clock=world.api.clock).samples()
    assert summed([own, Samples()], world.api.clock.now()) is own


async def test_process_reports_its_state_and_samples(world: World, browser: Browser) -> None:
    """Every ten seconds and every minute, in a form that the others can read."""
    share(world)
    world.api.daemon.dispatchers[TARGET] = world.api.dispatch.dispatcher()
    context = browser.context
    reporter = ProcessReporter(
        flow=context.flow,
        counts=lambda: context.sampler.samples().numbers(),
        sample=lambda: context.sampler.newest().as_json(),
    )
    for _ in range(7):
        assert await reporter._report() == 10.0
    records = world.api.log.processes.records
    kinds = [each.kind for each in records]

    assert kinds.count(ProcessRecordKind.STATE) == 7
    assert kinds.count(ProcessRecordKind.SAMPLE) == 2
    assert "canary" not in repr(records)
    tell(world.api, "copy", records[0].body)
    assert (await browser.context.flow.facts()).map.process.others == ("copy",)


async def test_report_holds_no_secret_and_every_character(world: World, browser: Browser) -> None:
    """The error of a target can hold a token, and half a character."""
    share(world)
    secret = "Bearer abcdefgh"
    views = world.api.context.views
    condition = ProcessCondition(blocked_plugins={TARGET: f"{secret} \ud800 {'x' * 1000}"}, waits=[secret])
    views.condition = lambda: condition
    body = (await browser.context.flow.own_state({}, None)).as_body()
    raw = encode_process_record(
        ProcessRecord(process="p", instance="1", kind=ProcessRecordKind.STATE, at=1.0, body=body)
    )

    assert b"abcdefgh" not in raw
    assert rb"\\ud800" in raw
    assert len(raw) < 1_500


async def test_report_that_can_not_be_made_ends_nothing(world: World, browser: Browser) -> None:
    """Deliveries go on, and the log output says why the other processes miss this one."""
    share(world)
    reporter = ProcessReporter(
        flow=browser.context.flow, counts=lambda: {"events": float("nan")}, sample=lambda: {"x": object()}
    )
    assert await reporter._report() == 10.0


@pytest.mark.parametrize("address", ["javascript:alert(1)", "//evil.example", "https://a b", 'https://a"x'])
def test_other_console_is_an_address_of_the_web(address: str) -> None:
    """It stands in a link."""
    with pytest.raises(ValueError, match="others"):
        AdminSettings.model_validate({"console": {"others": [address]}})
