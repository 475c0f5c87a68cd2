"""Topics with the names of a former connector, on the real broker, which chooses topics by expressions."""

import uuid
from typing import Any

import pytest

from streamer.clock import SystemClock
from streamer.log.kafka.history.history import KafkaHistory
from streamer.log.kafka.log import KafkaLog
from streamer.ports import EventSearch
from streamer.settings import KafkaLogSettings
from tests.contracts.follower import following
from tests.contracts.values import CHANGES, an_append, an_event, append_to
from tests.integration.kafka.topics import make_topic, own_settings, read_committed

ACCOUNT, CONTACT, LEAD, ORDER, INVOICE = EVENTS = [
    an_event(what.rpartition(".")[2] if ".event." in what else what.split(".")[2], what=what)
    for what in (
        "salesforce.cdc.Account.updated",
        "salesforce.cdc.Contact.updated",
        "salesforce.cdc.Lead.updated",
        "salesforce.event.Order__e",
        "salesforce.event.Invoice__e",
    )
]


@pytest.fixture
def unique() -> str:
    """A part of names that no other test has."""
    return f"n{uuid.uuid4().hex[:8]}"


@pytest.fixture
def settings(kafka: str, unique: str) -> KafkaLogSettings:
    """Settings with a name of each kind, and a foreign topic that looks like one by the usual template."""
    settings = own_settings(
        kafka,
        topics={"cdc": f"{unique}.{{name}}ChangeEvent", "event": f"{unique}.Events"},
        topic_names={"cdc.Lead": f"{unique}-Leads"},
        topic_case="lower",
        partitions=1,
        options={"topic.metadata.refresh.interval.ms": 250},
    )
    make_topic(kafka, settings.topic.format(kind="cdc", name="Account"))
    return settings


async def seen(settings: KafkaLogSettings, topic: str) -> list[str]:
    """Return the keys that an independent consumer gets."""
    return [(each.key or b"").decode() for each in await read_committed(settings.bootstrap_servers, topic)]


async def test_topics_have_the_configured_names(settings: KafkaLogSettings, unique: str) -> None:
    """An independent consumer finds each event where the former connector wrote it."""
    async with KafkaLog.open(settings, SystemClock()) as log:
        await log.checkpoint(CHANGES)
        await append_to(log, an_append(*EVENTS))

    assert await seen(settings, f"{unique}.accountchangeevent") == ["Account"]
    assert await seen(settings, f"{unique}-Leads") == ["Lead"]
    assert sorted(await seen(settings, f"{unique}.events")) == ["Invoice__e", "Order__e"]


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (["salesforce.cdc.*"], [ACCOUNT, CONTACT, LEAD]),
        (["salesforce.cdc.Lead.updated", "salesforce.event.Order__e"], [LEAD, ORDER]),
        (["salesforce.cdc.Con*"], [CONTACT]),
        (["*"], EVENTS),
    ],
)
async def test_subscriber_and_search_find_their_types_under_these_names(
    settings: KafkaLogSettings, patterns: list[str], wanted: list[Any]
) -> None:
    """They read neither other topics nor other types in a shared topic."""
    ids = sorted(each.id for each in wanted)
    async with KafkaLog.open(settings, SystemClock()) as log:
        await log.checkpoint(CHANGES)
        await append_to(log, an_append(*EVENTS))
        async with following(log, *patterns) as follower:
            assert sorted(await follower.read_until(*ids)) == ids
            assert {each.topic for each in follower.assigned}.isdisjoint(
                {settings.topic.format(kind="cdc", name="Account")}
            )
    async with KafkaHistory.open(settings) as history:
        found = await history.find(EventSearch(types=tuple(patterns)))
        assert sorted(each.event.id for each in found.events) == ids
