"""The doctor's verdicts, and the time limits of its checks."""

import asyncio

import pytest
from pydantic import SecretStr

from streamer.clock import TurnedClock
from streamer.doctor.channels import selection_verdicts
from streamer.doctor.check import CheckStatus, Inapplicable, Once, failed
from streamer.doctor.org import flow_verdict, limit_verdict, skew_verdict, version_verdict
from streamer.errors import RetryLater
from streamer.quota import Limit, OrgLimit, headroom
from streamer.salesforce.tooling.setup import ChannelMember, ChannelSetup, CustomChannel
from streamer.settings import OrgSettings, PasswordAuth


@pytest.mark.parametrize(
    ("sentence", "fault", "remedy"),
    [
        ("it was refused (a: b): check the name", "it was refused (a: b)", "check the name"),
        ("it was refused (use: b)", "it was refused (use: b)", ""),
        ("a: set b: give c", "a: set b", "give c"),
        ("https://localhost:9 is away", "https://localhost:9 is away", ""),
        ("checks: none", "checks: none", ""),
    ],
)
def test_remedy_at_the_end_of_a_fault_stands_apart(sentence: str, fault: str, remedy: str) -> None:
    """Errors end with what to do; words that only resemble it stay."""
    assert failed(sentence) == (CheckStatus.FAILED, fault, remedy)


@pytest.mark.parametrize(
    ("ahead_s", "status"),
    [
        (0.0, CheckStatus.OK),
        (9.0, CheckStatus.OK),
        (-11.0, CheckStatus.WARNING),
        (59.0, CheckStatus.WARNING),
        (-61.0, CheckStatus.FAILED),
    ],
)
def test_clock_can_differ_a_little(ahead_s: float, status: CheckStatus) -> None:
    """By as much as Streamer takes two clocks to differ."""
    assert skew_verdict(ahead_s).status is status


def test_flow_that_salesforce_gives_up_is_a_warning() -> None:
    """It works until it does not, in every org at a time of its own."""
    auth = PasswordAuth(
        flow="password",
        client_id="a",
        client_secret=SecretStr("b"),
        username="c",
        password=SecretStr("d"),
    )
    settings = OrgSettings(login_url="https://acme.my.salesforce.com", auth=auth)

    assert flow_verdict(settings).status is CheckStatus.WARNING


def test_latest_version_is_the_remedy_for_a_wrong_one() -> None:
    """By its number, not by its letters."""
    assert version_verdict("64.0", frozenset({"9.0", "64.0"})).status is CheckStatus.OK
    assert 'to "100.0"' in version_verdict("8.0", frozenset({"9.0", "100.0"})).remedy


def test_forecast_needs_one_reading() -> None:
    """Use is given back a day later, so the share of a day's use shows how much more fits."""
    assert headroom(Limit(most=1_000, remaining=750)) == 4.0
    assert headroom(Limit(most=1_000, remaining=1_000)) is None
    verdict = limit_verdict(OrgLimit.DELIVERED_EVENTS, Limit(most=1_000, remaining=750))
    assert verdict.status is CheckStatus.OK
    assert verdict.found.endswith(
        "750 of 1,000 are left; the remaining amount covers up to 4.0 times the use of the last 24 hours"
    )
    assert limit_verdict(OrgLimit.DELIVERED_EVENTS, Limit(most=0, remaining=0)).status is CheckStatus.WARNING
    assert limit_verdict(OrgLimit.STREAMING_CLIENTS, Limit(most=20, remaining=0)).status is CheckStatus.FAILED


def a_setup(*members: tuple[str, str]) -> ChannelSetup:
    """Return a setup with these members, each a channel and an entity."""
    return ChannelSetup(
        channels=(CustomChannel(id="1", name="Erp__chn", kind="data", label="ERP"),),
        members=tuple(
            ChannelMember(
                id="2", full_name=f"{channel}_{entity}", channel=channel, selected=f"{entity}ChangeEvent"
            )
            for channel, entity in members
        ),
    )


def test_entity_that_another_channel_brings_is_not_missed() -> None:
    """The configuration reads both."""
    setup = a_setup(("ChangeEvents", "Account"), ("Erp__chn", "Lead"))
    patterns = {"a": ("salesforce.cdc.Lead.*", "salesforce.cdc.*.created", "salesforce.event.X__e")}

    def told(*paths: str) -> list[str]:
        return [each.remedy for each in selection_verdicts(setup, "/data/ChangeEvents", patterns, paths)]

    assert not told("/data/ChangeEvents", "/data/Erp__chn")
    assert told("/data/ChangeEvents") == ["select the entity with streamer org cdc enable Lead"]


def test_custom_channel_without_members_is_told_its_command() -> None:
    """It carries nothing until it has one."""
    (verdict,) = selection_verdicts(
        a_setup(("ChangeEvents", "Account")), "/data/Erp__chn", {}, ["/data/Erp__chn"]
    )

    assert verdict.status is CheckStatus.FAILED
    assert verdict.remedy == "select the entity with streamer org channels add Erp__chn ENTITY"


async def test_shared_result_is_found_once_and_in_time() -> None:
    """A caller that gives up does not end it for the others."""
    clock, calls, begun = TurnedClock(), 0, asyncio.Event()

    async def call() -> str:
        nonlocal calls
        calls += 1
        begun.set()
        await clock.sleep(5)
        return "found"

    once = Once(call, clock, timeout_s=10)
    first, second = asyncio.create_task(once()), asyncio.create_task(once())
    await begun.wait()
    first.cancel()
    await clock.turn(5)

    assert await second == "found"
    assert await once() == "found"
    assert calls == 1


async def test_shared_result_that_does_not_come_is_told_before_the_time_is_over() -> None:
    """So that the checks which need it are skipped, and do not fail as well."""
    clock = TurnedClock()
    once = Once(lambda: clock.sleep(100), clock, timeout_s=10)
    asking, needing = asyncio.create_task(once()), asyncio.create_task(once.needed("the login"))
    await clock.turn(9)

    with pytest.raises(RetryLater, match="no answer within 9 s"):
        await asking
    with pytest.raises(Inapplicable, match="needs the login, which failed"):
        await needing
    await once.end()
