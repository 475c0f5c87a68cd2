"""The map describes its parts in words, and links to the pages that deal with their faults."""

from typing import Any

import pytest

from streamer.flow.flow_map import MAP_JSON, NOTHING, Level, NodeState, level_of, rate, worst
from tests.unit.flow.maps import DOWN, channel, flow_map, subscriber, troubled_map


@pytest.mark.parametrize(
    ("per_second", "said"),
    [
        (None, NOTHING),
        (0.0, "0/s"),
        (1 / 60, "1/min"),
        (0.5, "30/min"),
        (1.26, "1.3/s"),
        (12.4, "12/s"),
        (12_345.6, "12,346/s"),
    ],
)
def test_rate_is_in_the_unit_that_fits(per_second: float | None, said: str) -> None:
    """One event in a minute is not 0/s."""
    assert rate(per_second) == said


def test_badges_of_a_channel_lead_to_its_position_and_its_holes() -> None:
    """The worst badge comes first."""
    node = channel("/event/A__e", expires_in_s=18_000.0, open_holes=1, lasting_holes=2)

    assert [(each.text, each.level, each.page) for each in node.badges] == [
        ("position expires in 5 h", Level.BAD, "/channels/position?channel=%2Fevent%2FA__e"),
        ("2 lasting holes", Level.BAD, "/continuity?channel=%2Fevent%2FA__e"),
        ("1 hole in repair", Level.WAITS, "/continuity?channel=%2Fevent%2FA__e&state=open"),
    ]
    assert channel().badges == []


def test_badges_of_a_subscriber_lead_to_its_letters_and_its_parked_keys() -> None:
    """An open circuit leads to the page on which the target can be probed; `target down` says it already."""
    node = subscriber("erp", has_open_circuit=True, dead_letters=1, parked=1_200)

    assert [(each.text, each.level, each.page) for each in node.badges] == [
        ("open circuit", Level.BAD, "/subscribers/erp"),
        ("1 dead letter", Level.BAD, "/dead-letters?subscriber=erp"),
        ("1,200 parked", Level.WAITS, "/parked?subscriber=erp"),
    ]
    assert subscriber("erp", state=DOWN, has_open_circuit=True).badges == []


@pytest.mark.parametrize(
    ("facts", "note"),
    [
        ({}, "nothing waits"),
        ({"parked": 7}, "nothing else waits"),
        ({"lag": 1, "oldest_s": 90.0}, "1 waiting, oldest 90 s"),
        ({"lag": 12_000, "oldest_s": 7_200.0}, "12,000 waiting, oldest 2 h"),
        ({"lag": None, "state": NodeState(word="not here", level=Level.QUIET)}, "another process delivers"),
        ({"lag": None, "state": DOWN}, ""),
    ],
)
def test_note_tells_what_waits_and_for_how_long(facts: dict[str, Any], note: str) -> None:
    """A number that this process does not know is not 0."""
    assert subscriber(**facts).note == note


def test_trouble_is_told_with_the_page_that_deals_with_it() -> None:
    """Broken parts come before parts with a bad badge, and these before parts that wait."""
    found = [(each.name, each.level, each.page) for each in troubled_map().troubles]

    assert found == [
        ("/data/Opportunity_Line_Item_Configuration__ChangeEvent", Level.BAD, "/channels"),
        ("invoice", Level.BAD, "/subscribers/invoice"),
        ("/event/Order_Placed__e", Level.BAD, "/channels/position?channel=%2Fevent%2FOrder_Placed__e"),
        ("news", Level.BAD, "/dead-letters?subscriber=news"),
        ("archive", Level.WAITS, "/subscribers/archive"),
    ]
    said = {each.name: each.said for each in troubled_map().troubles}
    assert said["invoice"] == "target down since 11:48 UTC (12 min), 12 parked"
    assert said["news"] == "3 dead letters"


def test_log_that_is_away_is_the_first_trouble() -> None:
    """It explains the others."""
    found = troubled_map()
    away = flow_map(found.subscribers, found.channels, log=type(found.log)(kind="Kafka", state=DOWN))

    assert away.troubles[0].name == "Kafka log"


def test_map_without_trouble_tells_none() -> None:
    """Another process looks after its own parts."""
    elsewhere = NodeState(word="elsewhere", level=Level.QUIET)

    assert flow_map([subscriber(state=elsewhere)], [channel(state=elsewhere)]).troubles == []


def test_level_is_the_worst() -> None:
    """A good state with dead letters needs attention."""
    assert level_of(subscriber(dead_letters=1)) is Level.BAD
    assert level_of(subscriber()) is Level.GOOD
    assert worst([]) is Level.QUIET


def test_map_is_the_same_after_its_way_over_the_api() -> None:
    """The terminal draws what the console draws."""
    sent = MAP_JSON.dump_python(troubled_map(), mode="json")

    assert MAP_JSON.validate_python(sent) == troubled_map()


def test_target_that_is_down_precedes_one_that_only_has_dead_letters() -> None:
    """Both are red, but only one of them stands still."""
    found = flow_map([subscriber("a", dead_letters=1), subscriber("z", state=DOWN)]).troubles

    assert [each.name for each in found] == ["z", "a"]
