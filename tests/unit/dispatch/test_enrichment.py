"""Events are delivered with records of the org, and failed look-ups do not count as the target's failures."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from streamer.dispatch.admission.circuit_breaker import BreakerLimits
from streamer.dispatch.lanes.lanes import Order
from streamer.dispatch.lookups.records import LookupLimits
from streamer.dispatch.state import Limits
from streamer.errors import CredentialsRefused, RecordsRefused, RetryLater, SalesforceUnavailable
from streamer.events import Delivered, Delivery, Event, FailureClass, Outcome
from tests.contracts.values import an_append, an_event, append_to
from tests.unit.dispatch.lookups.world import World as Org
from tests.unit.dispatch.lookups.world import account_id, an_enrichment
from tests.unit.dispatch.test_batches import cancel_others
from tests.unit.dispatch.world import TARGET, ScriptedTarget, World, route

ACCOUNT = {"account": {"sobject": "Account", "id": "data.fields.AccountId", "fields": ["Name"]}}
RECORD = {"record": {"fields": ["Name"]}}
BOTH = {
    "record": {"fields": ["AccountId"]},
    "account": {"sobject": "Account", "id": "record.AccountId", "fields": ["Name"]},
}
WHOLE = {"customer": "account.Name", "how": "lookups.account"}


def deal_id(number: int) -> str:
    """Return the id of an opportunity."""
    return f"006{number:012d}AAA"


def a_deal(number: int, fields: dict[str, Any] | None = None, *, deal: int | None = None) -> Event:
    """Return the change of an opportunity, whose fields by default name the first account."""
    record_id = deal_id(number if deal is None else deal)
    fields = {"AccountId": account_id(1)} if fields is None else fields
    data = {"entity": "Opportunity", "record_id": record_id, "fields": fields}
    return an_event(number, what="salesforce.cdc.Opportunity.updated", key=record_id, data=data)


@dataclass(kw_only=True)
class Desk:
    """A subscriber, and an org of accounts from which its events are enriched."""

    world: World = field(default_factory=lambda: World(limits=Limits(waiting=2_000)))
    org: Org = field(init=False)

    def __post_init__(self) -> None:
        self.org = Org(clock=self.world.clock, limits=LookupLimits())

    def enrich(self, enrich: dict[str, Any], **written: Any) -> "Desk":
        """Look these records up; the rest is the route."""
        self.world.route = route(**written)
        self.world.enrichment = an_enrichment(self.org.lookups, enrich, self.world.clock)
        self.world.on_read = self.org.lookups.changed
        return self

    async def append(self, *events: Event) -> None:
        """Append events, and let what follows happen."""
        await append_to(self.world.log, an_append(*events))
        await self.world.turn(0.1)

    @property
    def bodies(self) -> dict[str, Any]:
        """Return the delivered bodies, by event."""
        return self.world.target.bodies


@pytest.fixture
def desk() -> Desk:
    """Accounts, and deals of theirs."""
    return Desk().enrich(ACCOUNT, body=WHOLE)


async def test_thousand_events_of_a_hundred_accounts_cost_a_handful_of_calls(desk: Desk) -> None:
    """However many lanes they are in."""
    accounts = {account_id(number): {"Name": f"No {number}"} for number in range(100)}
    desk.org.records.records["Account"] = accounts
    events = [a_deal(number, {"AccountId": account_id(number % 100)}) for number in range(1_000)]
    async with desk.world.running():
        await desk.append(*events)
        await desk.world.turn(1)

    assert {int(event): body["customer"] for event, body in desk.bodies.items()} == {
        number: f"No {number % 100}" for number in range(1_000)
    }
    assert len(desk.org.records.requests) <= 3


@pytest.mark.parametrize("order", list(Order))
async def test_backlog_before_a_slow_target_costs_few_calls(order: Order) -> None:
    """A call also reads the records of the events that come next, two look-ups after one another too."""
    desk = Desk().enrich(BOTH, body=WHOLE)
    desk.world.order, desk.world.in_flight = order, 2
    desk.org.records.records["Opportunity"] = {
        deal_id(number): {"AccountId": account_id(number)} for number in range(100)
    }

    async def slowly() -> Delivered:
        await desk.world.clock.sleep(0.1)
        return Delivered()

    async with desk.world.running():
        for number in range(100):
            desk.world.target.answers[str(number)].append(slowly)
        await desk.append(*(a_deal(number, {}) for number in range(100)))
        await desk.world.turn_until(lambda: len(desk.bodies) == 100)
    assert len(desk.org.records.requests) <= 4


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ({"AccountId": account_id(1)}, {"customer": "No 1", "how": "found"}),
        ({"AccountId": account_id(1)[:15]}, {"customer": "No 1", "how": "found"}),
        ({"AccountId": account_id(99)}, {"customer": None, "how": "missing"}),
        ({"AccountId": None}, {"customer": None, "how": "empty"}),
        ({}, {"how": "absent"}),
    ],
)
async def test_expressions_tell_a_missing_record_from_one_that_is_not_named(
    desk: Desk, fields: dict[str, Any], body: Any
) -> None:
    """Null is a record that is not there; what the event says nothing about is left out."""
    async with desk.world.running():
        await desk.append(a_deal(1, fields))
    assert desk.bodies == {"1": body}


async def test_lookup_can_read_the_record_of_another() -> None:
    """An update carries only what changed, and names no account."""
    desk = Desk().enrich(BOTH, body=WHOLE)
    desk.org.records.records["Opportunity"] = {deal_id(1): {"AccountId": account_id(2)}}
    async with desk.world.running():
        await desk.append(a_deal(1, {}))
    assert desk.bodies == {"1": {"customer": "No 2", "how": "found"}}


async def test_own_record_is_at_least_as_new_as_its_event() -> None:
    """A record read for an earlier event does not serve a later one, even within its lifetime."""
    desk = Desk().enrich(RECORD, body={"name": "record.Name"})
    deals = desk.org.records.records["Opportunity"] = {deal_id(7): {"Name": "old"}}
    async with desk.world.running():
        await desk.append(a_deal(1, deal=7))
        deals[deal_id(7)] = {"Name": "new"}
        await desk.append(a_deal(2, deal=7))
    assert desk.bodies == {"1": {"name": "old"}, "2": {"name": "new"}}


async def test_event_without_a_record_has_none() -> None:
    """A platform event, for one."""
    desk = Desk().enrich(RECORD, body={"how": "lookups.record"})
    async with desk.world.running():
        await desk.append(an_event("order", what="salesforce.event.Order_Placed__e"))
    assert desk.bodies == {"order": {"how": "absent"}}


async def test_event_that_is_skipped_costs_no_call() -> None:
    """`when` comes first where it reads no look-up."""
    desk = Desk().enrich(ACCOUNT, body=WHOLE, when="data.fields.Won")
    async with desk.world.running():
        await desk.append(a_deal(1), a_deal(2, {"Won": True}))
    assert list(desk.bodies) == ["2"]
    assert desk.org.records.requests == []


async def test_when_can_read_what_was_looked_up() -> None:
    """It selects only the deals of one account."""
    desk = Desk().enrich(ACCOUNT, when="account.Name == 'No 2'")
    async with desk.world.running():
        await desk.append(a_deal(1), a_deal(2, {"AccountId": account_id(2)}))
    assert (list(desk.bodies), desk.world.letters) == (["2"], [])


async def test_outage_of_salesforce_is_no_failure_of_the_target(desk: Desk) -> None:
    """No attempt is spent, however long it lasts, and the breaker stays closed."""
    desk.world.breaker = BreakerLimits(minimum=1, failure_ratio=0.01)
    desk.org.records.error = SalesforceUnavailable("HTTP 503")
    async with desk.world.running() as dispatcher:
        await desk.append(*(a_deal(number) for number in range(20)))
        for _ in range(30):
            await desk.world.turn(100)
        status = dispatcher.status
        assert (status.is_down, status.is_held, desk.world.letters) == (False, False, [])
        assert status.last_failure is not None
        assert status.last_failure.failure is FailureClass.LOOKUP
        assert len(desk.org.records.requests) < 60

        desk.org.records.error = None
        await desk.world.turn_until(lambda: len(desk.bodies) == 20)
    assert set(desk.world.target.attempts) == {1}


async def test_events_whose_records_are_known_go_on_meanwhile(desk: Desk) -> None:
    """They need no call."""
    async with desk.world.running():
        await desk.append(a_deal(1))
        desk.org.records.error = SalesforceUnavailable("HTTP 503")
        await desk.append(a_deal(2, {"AccountId": account_id(2)}), a_deal(3))
        assert list(desk.bodies) == ["1", "3"]


async def test_parked_event_waits_for_the_reserve_without_an_attempt(desk: Desk) -> None:
    """It survives a restart, and says why it waits."""
    desk.org.records.requests_left = 0.1
    async with desk.world.running() as dispatcher:
        await desk.append(a_deal(1))
        await desk.append(a_deal(2, {"AccountId": account_id(2)}))
        [parked] = dispatcher.parked(10).keys
        assert (parked.attempts, "10% of the org's daily requests" in parked.last_error) == (0, True)
    desk.org.records.requests_left = 0.9
    async with desk.world.running():
        await desk.world.turn_until(lambda: len(desk.bodies) == 2)


async def test_refused_login_holds_the_target_and_alerts(desk: Desk) -> None:
    """An operator must act; then the event goes out without a lost attempt."""
    desk.org.records.error = CredentialsRefused("the user is frozen")
    async with desk.world.running() as dispatcher:
        await desk.append(a_deal(1))
        assert (dispatcher.status.is_held, "the user is frozen" in dispatcher.status.trouble) == (True, True)
        desk.org.records.error = None
        await desk.world.turn(61)
    assert (desk.bodies["1"], desk.world.target.attempts) == ({"customer": "No 1", "how": "found"}, [1])


async def test_hold_by_a_lookup_says_nothing_about_the_target(desk: Desk) -> None:
    """Its limit stays, and so do the tokens of its rate."""
    desk.world.rate = (0.001, 8)
    desk.org.records.error = CredentialsRefused("the user is frozen")
    async with desk.world.running() as dispatcher:
        await desk.append(*(a_deal(number) for number in range(8)))
        assert (dispatcher.status.is_held, dispatcher.admission.concurrency.limit) == (True, 8)
        desk.org.records.error = None
        await desk.world.turn(62)
    assert len(desk.bodies) == 8


async def test_forbidden_field_is_a_dead_letter_with_its_name(desk: Desk) -> None:
    """It can't be delivered until somebody corrects the name or the permission."""
    desk.org.records.hidden = frozenset({"Name"})
    async with desk.world.running():
        await desk.append(a_deal(1))
    [letter] = desk.world.letters
    assert letter.error == (
        "the field Name can't be looked up: No such column 'Name' on sobject of type Account"
    )
    assert "enrich" in letter.hint


async def test_refused_object_is_a_dead_letter_in_salesforces_words(desk: Desk) -> None:
    """Such as one that the user must not read."""
    desk.org.records.error = RecordsRefused("HTTP 403 INSUFFICIENT_ACCESS", code="INSUFFICIENT_ACCESS")
    async with desk.world.running():
        await desk.append(a_deal(1))
    assert desk.world.letters[0].error == "the record can't be looked up: HTTP 403 INSUFFICIENT_ACCESS"


@pytest.mark.parametrize("given", ["Acme", 7, ["001"]])
async def test_id_that_is_none_is_a_dead_letter(desk: Desk, given: Any) -> None:
    """The expression reads the wrong field."""
    async with desk.world.running():
        await desk.append(a_deal(1, {"AccountId": given}))
    [letter] = desk.world.letters
    assert letter.error == f"enrich.account.id results in {given}, which is not a record id"
    assert desk.org.records.requests == []


async def test_answer_that_does_not_come_is_a_retry(desk: Desk) -> None:
    """The call goes on, and serves the retry."""
    desk.org.records.open.clear()
    async with desk.world.running():
        await desk.append(a_deal(1))
        await desk.world.turn(31)
        desk.org.records.open.set()
        await desk.world.turn(5)
    assert (list(desk.bodies), len(desk.org.records.requests)) == (["1"], 1)


async def test_latency_of_lookups_does_not_lower_the_limit(desk: Desk) -> None:
    """It is not the target that is slow."""
    limits: set[int] = set()
    async with desk.world.running() as dispatcher:
        for turn in range(40):
            desk.org.records.open.clear()
            deals = [a_deal(each, {"AccountId": account_id(each)}) for each in range(8 * turn, 8 * turn + 8)]
            await append_to(desk.world.log, an_append(*deals))
            await desk.world.turn(0.006 if turn < 20 else 0.1)
            desk.org.records.open.set()
            await desk.world.turn(0.01)
            limits.add(dispatcher.admission.concurrency.limit)
    assert limits == {8}


async def test_event_that_went_to_another_process_meanwhile_is_not_delivered(desk: Desk) -> None:
    """A look-up can take longer than a rebalance; its next owner delivers it, perhaps later events too."""
    desk.org.records.open.clear()
    async with desk.world.running():
        await desk.append(a_deal(1))
        log, held = desk.world.log, desk.world.feed.holds
        log.consumers.reassign(TARGET, held, to=None)
        await desk.world.turn(3)
        desk.org.records.open.set()
        await desk.world.turn(5)
        assert desk.bodies == {}
        log.consumers.reassign(TARGET, held, to=desk.world.feed)
        await desk.world.turn(5)
    assert desk.world.target.delivered == ["1"]


async def test_event_waits_for_its_partition_after_a_standstill(desk: Desk) -> None:
    """The process can have been stopped while the record was read."""
    desk.world.session_s = 6.0
    desk.org.records.open.clear()
    async with desk.world.running():
        await desk.append(a_deal(1))
        desk.world.log.faults.down = True
        desk.world.clock.jump(10)
        desk.org.records.open.set()
        await desk.world.turn(20)
        assert desk.bodies == {}
        desk.world.log.faults.down = False
        await desk.world.turn_until(lambda: len(desk.bodies) == 1)


def test_later_event_supersedes_where_when_needs_a_lookup(desk: Desk) -> None:
    """Streamer can't know if it was delivered, and an old event must not overwrite a newer one."""
    desk.enrich(ACCOUNT, when="account.Name == 'No 2'")
    assert desk.world.dispatcher().attempts.admits(a_deal(1))
    desk.enrich(ACCOUNT, when="data.fields.Won")
    assert not desk.world.dispatcher().attempts.admits(a_deal(1))


async def test_only_an_attempt_that_sent_a_request_is_timed() -> None:
    """Events that end before it would count as quick answers of the target."""
    desk = Desk().enrich(ACCOUNT, body=WHOLE, when="data.fields.Won")
    async with desk.world.running():
        await desk.append(a_deal(1), a_deal(2, {"Won": True}), a_deal(3, {"Won": True, "AccountId": "Acme"}))
        desk.org.records.error = SalesforceUnavailable("HTTP 503")
        await desk.append(a_deal(4, {"Won": True, "AccountId": account_id(5)}))

    assert (desk.world.target.began, len(desk.world.letters)) == (["2"], 1)
    sample, labels = desk.world.metrics.registry.get_sample_value, {"subscriber": str(TARGET)}
    assert sample("streamer_deliveries_total", {**labels, "outcome": "skip"}) == 1
    assert sample("streamer_delivery_seconds_count", labels) == 1


async def test_retry_asked_for_by_salesforce_is_kept(desk: Desk) -> None:
    """Its Retry-After is the delay of the event."""
    desk.org.records.error = RetryLater("used up", after_s=20)
    async with desk.world.running() as dispatcher:
        await desk.append(a_deal(1))
        desk.org.records.error = None
        assert dispatcher.status.next_try_at == pytest.approx(desk.world.clock.now() + 20, abs=1)


class CancelsOnce(ScriptedTarget):
    """Cancels the attempts beside its own, when it is first called."""

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Cancel, and deliver."""
        if not self.began:
            cancel_others()
        return await super().deliver(delivery)


async def test_attempt_that_is_cancelled_during_its_lookup_is_made_again(desk: Desk) -> None:
    """A plugin that cancels what it finds costs neither an event nor the room for another attempt."""
    desk.world.target, desk.world.in_flight = CancelsOnce(), 2
    desk.org.records.open.clear()
    async with desk.world.running() as dispatcher:
        await desk.append(a_deal(1), a_deal(2, {"AccountId": None}))
        assert desk.world.target.delivered == ["2"]
        desk.org.records.open.set()
        await desk.append(*(a_deal(number) for number in range(3, 9)))
        assert dispatcher.status.in_flight == 0

    assert sorted(desk.world.target.delivered) == [str(number) for number in range(1, 9)]
    assert set(desk.world.target.attempts) == {1}


async def test_cached_record_beside_one_that_is_read_changes_neither_counts_nor_order(desk: Desk) -> None:
    """Each look-up is counted once, and a body that passes them all on looks the same."""
    both = {"own": {"sobject": "Opportunity", "id": "subject", "fields": ["StageName"]}, **ACCOUNT}
    desk.enrich(both, body={"lookups": "lookups", "names": "keys(lookups)"})
    desk.org.records.records["Opportunity"] = {deal_id(n): {"StageName": "Won"} for n in (1, 2)}
    async with desk.world.running():
        await desk.append(a_deal(1))
        assert desk.org.seen.results == {"read": 2}
        await desk.append(a_deal(2))

    assert desk.org.seen.results == {"read": 3, "cached": 1}
    assert desk.bodies["2"] == desk.bodies["1"]
    assert desk.bodies["2"]["names"] == ["own", "account"]
