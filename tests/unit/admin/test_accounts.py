"""The account of an event at a subscriber says only what the log proves."""

from dataclasses import replace

import pytest

from streamer.admin.events.accounts import AccountState, Evidence, SubscriberAccount, account_of
from streamer.app.chains.verdicts import GivenNames, RouteVerdict
from streamer.controls import AuditRecord, Control, Switch
from streamer.events import Entry, ParkedLane, Partition, SettledOffsets, Stage, SubscriberName
from streamer.ports import LoggedEvent
from tests.contracts.parking import ONCE
from tests.contracts.values import a_dead_letter, a_receipt, an_event

NAME = SubscriberName("shipment")
PLACE = Partition(topic="log", number=0)
MATCHES = RouteVerdict(subscriber=NAME, matches=True)
EXCLUDED = RouteVerdict(
    subscriber=NAME,
    matches=False,
    why='the condition `when` is not true for this event; data.fields.Stage is "Open"',
)
LETTER = replace(
    a_dead_letter("1:shipment", stage=Stage.DISPATCH, error="the target answered 422"),
    subscriber=NAME,
    answer="no",
)


def logged(offset: int) -> LoggedEvent:
    """Return the event at an offset."""
    return LoggedEvent(entry=Entry(partition=PLACE, offset=offset, event=an_event(offset, key="k")))


def evidence(**known: object) -> Evidence:
    """Return what is known of the event at offset 5, which is settled unless `known` says otherwise."""
    base = Evidence(
        name=NAME,
        uses="fulfillment",
        is_selected=True,
        verdict=MATCHES,
        logged=logged(5),
        progress=SettledOffsets(next_offset=9),
    )
    return replace(base, **known)  # type: ignore[arg-type] # as the tests write it


LANE = ParkedLane(lane="k", offsets=(5, 7), setback=ONCE)
AMONG = {
    "receipt": (
        evidence(receipts=[a_receipt("1")]),
        AccountState.DELIVERED,
        "Delivered at 2025-01-01 00:01:00Z",
    ),
    "letter": (evidence(letters=[LETTER]), AccountState.DEAD_LETTER, "the target answered 422"),
    "lane": (
        evidence(lane=LANE),
        AccountState.PARKED,
        "The event is parked: 1 attempt failed since 1970-01-01 00:00:10Z; the last",
    ),
    "behind": (
        evidence(lane=LANE, logged=logged(7), head=logged(5)),
        AccountState.PARKED,
        "The event is parked behind event 5 of the same key. 1 attempt failed",
    ),
    "behind one that is gone": (
        evidence(lane=LANE, logged=logged(7)),
        AccountState.PARKED,
        "The event is parked behind an earlier event",
    ),
    "when": (evidence(verdict=EXCLUDED), AccountState.FILTERED, 'data.fields.Stage is "Open"'),
    "on": (
        evidence(is_selected=False, verdict=replace(EXCLUDED, why="on matches only these types: x")),
        AccountState.FILTERED,
        "The subscriber does not select the event: on matches only these types: x.",
    ),
    "next": (
        evidence(progress=SettledOffsets(next_offset=5)),
        AccountState.WAITING,
        "next event in the partition",
    ),
    "later": (
        evidence(progress=SettledOffsets(next_offset=2)),
        AccountState.WAITING,
        "at most 3 events of the partition come first",
    ),
    "not begun": (evidence(progress=None), AccountState.WAITING, "no progress in this partition yet"),
    "later, and then not": (
        evidence(progress=SettledOffsets(next_offset=2), verdict=EXCLUDED),
        AccountState.WAITING,
        "The subscriber will filter out the event: the condition `when` is not true for this event",
    ),
    "silent": (evidence(), AccountState.SETTLED, "keeps no receipts"),
    "without a receipt": (evidence(keeps_receipts=True), AccountState.SETTLED, "the log has no receipt"),
    "broken": (
        evidence(verdict=RouteVerdict(subscriber=NAME, matches=False, error="body fails")),
        AccountState.SETTLED,
        "An expression fails on the event: body fails",
    ),
    "look-ups": (
        evidence(verdict=replace(EXCLUDED, names=GivenNames(more={}, absent=("account",)))),
        AccountState.SETTLED,
        "The subscriber's expressions read account, and the log",
    ),
    "not forwarded": (
        evidence(after=(SubscriberName("invoice"),), logged=None, verdict=MATCHES),
        AccountState.NOT_FORWARDED,
        "waits for invoice, which did not forward the event",
    ),
    "gone": (evidence(logged=None), AccountState.UNKNOWN, "no longer holds the event"),
}


@pytest.mark.parametrize(("known", "state", "sentence"), AMONG.values(), ids=AMONG.keys())
def test_account_names_the_state_and_the_reason(known: Evidence, state: AccountState, sentence: str) -> None:
    """By the records, and only then by the configuration."""
    account = account_of(known)

    assert account.state is state
    assert sentence in " ".join(account.said)


def test_later_record_counts() -> None:
    """A receipt after a dead letter is a redrive that went well; the letter is told all the same."""
    receipt = a_receipt("1")
    redriven = evidence(letters=[replace(LETTER, failed_at=receipt.delivered_at - 1)], receipts=[receipt])
    failed = evidence(letters=[replace(LETTER, failed_at=receipt.delivered_at + 1)], receipts=[receipt])

    assert account_of(redriven).state is AccountState.DELIVERED
    assert "The event also has a dead letter" in " ".join(account_of(redriven).said)
    assert account_of(failed).state is AccountState.DEAD_LETTER
    assert "The event was also delivered earlier" in " ".join(account_of(failed).said)


def test_what_holds_the_subscriber_up_is_told() -> None:
    """With the command that ends a pause."""
    pause = Control(subscriber=NAME, switch=Switch.PAUSED, by="anna", at=0.0, reason="stocktaking")
    said = " ".join(account_of(evidence(progress=None, control=pause)).said)

    assert "anna paused the subscriber at 1970-01-01 00:00:00Z: stocktaking" in said
    assert "`streamer subscribers resume shipment`" in said
    assert "This process does not deliver to the subscriber" in said


@pytest.mark.parametrize(
    "known",
    [
        {"verdict": EXCLUDED},
        {"is_selected": False, "verdict": EXCLUDED},
        {"logged": None, "after": [SubscriberName("erp")]},
    ],
)
def test_event_that_never_reached_the_subscriber_has_no_redrive(known: dict[str, object]) -> None:
    """It was filtered out, or not forwarded, so it never was a dead letter there."""
    order = AuditRecord(at=0.0, what="redrive.ordered", by="anna", subscriber=NAME, detail={"id": "r1"})
    found = evidence(redrives=[order], **known)

    assert "Redrive" not in " ".join(account_of(found).said)
    assert SubscriberAccount.of(found).as_json()["redrives"] == []


def test_redrives_are_told_as_possible() -> None:
    """The audit does not keep which letters an order covered."""
    order = AuditRecord(at=0.0, what="redrive.ordered", by="anna", subscriber=NAME, detail={"id": "r1"})
    said = account_of(evidence(redrives=[order])).said
    assert said[-1] == "Redrive r1, ordered by anna at 1970-01-01 00:00:00Z, possibly covered the event."


def test_account_shows_no_raw_bytes() -> None:
    """Those of a dead letter are what could not be read, and so what nobody could protect."""
    whole = SubscriberAccount.of(evidence(letters=[LETTER], receipts=[a_receipt("1")], lane=LANE)).as_json()

    [letter] = whole["dead_letters"]
    assert (letter["answer"], "raw" in letter, "event" in letter) == ("no", False, False)
    assert (whole["parked"]["events"], whole["settled_below"]) == (2, 9)
    assert whole["receipts"][0]["answer"] == a_receipt("1").answer
