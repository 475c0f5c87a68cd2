"""The loop guard skips the changes of this deployment, and no others."""

from typing import Any

import pytest

from streamer.errors import ConfigurationError
from streamer.events import Delivered, Event, Hold, Skip
from tests.deliveries import delivery, event
from tests.unit.subscribers.salesforce.orgs import CLIENT, USER, ScriptedOrg, change, outcomes_of, plugin

REST = "com/salesforce/api/rest/64.0"
OTHERS = [
    "",
    REST,
    f"{REST};client={CLIENT}-2",
    f"{REST};client=x{CLIENT}",
    f"{REST};client={CLIENT.upper()}",
    f"com/salesforce/api/{CLIENT}/64.0",
]


async def skipped(org: ScriptedOrg, *events: Event, **settings: Any) -> list[bool]:
    """Return which events are skipped."""
    chosen = {"update": "Opportunity", **settings}
    outcomes = await outcomes_of(
        org, *(delivery(each, body={"Id": USER, "Phone": "1"}) for each in events), **chosen
    )
    assert all(isinstance(each, Skip | Delivered) for each in outcomes)
    return [isinstance(each, Skip) for each in outcomes]


async def test_own_change_is_skipped_and_others_go_on() -> None:
    """Whatever the API and its version; the others of the batch keep their places."""
    org = ScriptedOrg()
    own = [change(origin=f"{api};client={CLIENT}") for api in (REST, "com/salesforce/api/soap/61.0")]
    others = [change(origin=each) for each in OTHERS]

    assert await skipped(org, own[0], *others, own[1]) == [True, *([False] * len(OTHERS)), True]
    assert [len(records) for _, records in org.written] == [len(OTHERS)]


async def test_user_stands_for_the_deployment_where_the_origin_does_not() -> None:
    """In either form of the id."""
    events = [change(user=USER), change(user=USER[:15]), change(user="005000000000002AAA")]

    assert await skipped(ScriptedOrg(client_name=None), *events, own_changes="user") == [True, True, False]


async def test_user_that_is_not_known_holds_the_target() -> None:
    """Nothing would end a loop."""
    org = ScriptedOrg(user_id="")
    [outcome] = await outcomes_of(
        org, delivery(change(), body={"Id": USER}), delete="Opportunity", own_changes="user"
    )

    assert isinstance(outcome, Hold)
    assert outcome.alert
    assert not org.written


async def test_own_change_is_delivered_where_it_shall_be() -> None:
    """`when` must end the loop then."""
    own = change(origin=f"{REST};client={CLIENT}")

    assert await skipped(ScriptedOrg(), own, own_changes="deliver") == [False]


async def test_events_without_an_origin_go_on() -> None:
    """Such as platform events, and what is malformed."""
    malformed: tuple[dict[str, Any], ...] = ({}, {"transaction": 1}, {"transaction": {"origin": 1}})
    events = [event("salesforce.event.Paid__e", data={"entity": "Opportunity", **data}) for data in malformed]

    assert await skipped(ScriptedOrg(), *events) == [False] * 3


def test_name_of_the_deployment_is_needed() -> None:
    """Unless another org is written, whose changes do not come back."""
    nameless = ScriptedOrg(client_name=None)
    for settings in ({"update": "Account"}, {"call": {"rest": "/x"}}):
        with pytest.raises(ConfigurationError, match="client_name is missing"):
            plugin(nameless, **settings)
        assert plugin(nameless, **settings, own_changes="deliver")
    auth = {"flow": "client_credentials", "client_id": "app", "client_secret": "hunter22"}
    elsewhere = {"login_url": "https://b.my.salesforce.com", "auth": auth}
    assert plugin(nameless, update="Account", org=elsewhere)
