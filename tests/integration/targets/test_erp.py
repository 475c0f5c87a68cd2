"""Documents in the ERP."""

from typing import Any

import pytest

from streamer.clock import TurnedClock
from streamer.events import Delivered, Delivery, Outcome, Reject, Retry, Skip
from streamer.sandbox.targets import ErpReceiver
from subscribers.erp import Erp
from tests.deliveries import ORDER, context, delivery, event


async def deliver(receiver: ErpReceiver, *deliveries: Delivery, **settings: Any) -> list[Outcome]:
    """Return the outcomes of `deliveries`, one after the other."""
    defaults = {"url": f"{receiver.url}/api/invoices"}
    read = Erp.Settings.model_validate(defaults | settings)
    async with Erp(read, context(TurnedClock())) as plugin:
        return [await plugin.deliver(each) for each in deliveries]


async def test_document_is_created_and_its_number_kept(erp: ErpReceiver) -> None:
    """By default the event's data are written under the record's id."""
    [outcome] = await deliver(erp, delivery(key="invoice:1"))

    assert outcome == Delivered(
        answer={"number": "INV-000001", "external_id": ORDER, "version": 1, "status": "created"}
    )
    assert erp.documents["invoices", ORDER]["document"] == event().data
    assert dict(erp.journal[0].headers) == {
        "Content-Type": "application/json",
        "Idempotency-Key": "invoice:1",
        "User-Agent": "streamer",
        "webhook-id": "invoice:1",
    }


async def test_later_event_of_the_record_updates_its_document(erp: ErpReceiver) -> None:
    """Two events of one record are one document in its second version."""
    first, second = await deliver(
        erp, delivery(key="1", body={"amount": 1}), delivery(key="2", body={"amount": 2})
    )

    assert isinstance(first, Delivered)
    assert isinstance(second, Delivered)
    assert (second.answer["number"], second.answer["version"]) == (first.answer["number"], 2)
    assert erp.documents["invoices", ORDER]["document"] == {"amount": 2}


async def test_lost_answer_makes_no_second_document(erp: ErpReceiver) -> None:
    """The attempt after a lost answer has the same key, and gets the first answer."""
    erp.faults.lose_answers = 1
    lost, repeated = await deliver(erp, delivery(key="1"), delivery(key="1"), method="POST")

    assert isinstance(lost, Retry)
    assert isinstance(repeated, Delivered)
    assert repeated.answer["number"] == "INV-000001"
    assert len(erp.documents) == 1
    assert erp.journal.duplicates == {"1": 1}


async def test_conflict_over_a_processed_key_is_delivered(erp: ErpReceiver) -> None:
    """An ERP that answers a repeated key with 409 has the document."""
    erp.idempotency.conflict = True
    outcomes = await deliver(erp, delivery(key="1"), delivery(key="1"))

    assert [type(outcome) for outcome in outcomes] == [Delivered, Delivered]
    assert [record.status for record in erp.journal] == [201, 409]


async def test_external_id_can_come_from_the_mapping(erp: ErpReceiver) -> None:
    """An id with a slash stays one part of the path."""
    await deliver(erp, delivery(body={"number": "A/1 ü"}), external_id="body.number")

    assert list(erp.documents) == [("invoices", "A/1 ü")]


@pytest.mark.parametrize("found", [None, "", "..", ".", True, 1.5, ["A"], {"a": 1}])
async def test_event_without_a_usable_id_is_rejected(erp: ErpReceiver, found: Any) -> None:
    """An id that can't be part of a path is never sent."""
    [outcome] = await deliver(erp, delivery(body={"id": found}), external_id="body.id")

    assert isinstance(outcome, Reject)
    assert len(erp.journal) == 0


async def test_query_of_the_url_is_kept(erp: ErpReceiver) -> None:
    """Some ERPs name the client in the query."""
    [outcome] = await deliver(erp, delivery(), url=f"{erp.url}/api/invoices?client=100")

    assert isinstance(outcome, Delivered)
    assert erp.journal[0].path == f"/api/invoices/{ORDER}?client=100"


async def test_deletion_writes_no_empty_document(erp: ErpReceiver) -> None:
    """A deletion has no fields; it is written only where the settings say so."""
    deleted = delivery(event("salesforce.cdc.Order.deleted"), body={"state": "void"})
    [skipped] = await deliver(erp, deleted)
    [written] = await deliver(erp, deleted, deletions="write")

    assert isinstance(skipped, Skip)
    assert isinstance(written, Delivered)
    assert [record.body for record in erp.journal] == [{"state": "void"}]


async def test_deletion_deletes_the_document_where_the_settings_say_so(erp: ErpReceiver) -> None:
    """The request has no content; a document that is gone already needs no deletion."""
    deleted = event("salesforce.cdc.Order.deleted")
    outcomes = await deliver(
        erp, delivery(key="1"), delivery(deleted, key="2"), delivery(deleted, key="3"), deletions="delete"
    )

    assert [type(outcome) for outcome in outcomes] == [Delivered, Delivered, Skip]
    assert erp.documents == {}
    assert [(record.method, record.body) for record in erp.journal][1:] == [("DELETE", "")] * 2
    assert "Content-Type" not in erp.journal[1].headers


async def test_event_that_carries_nothing_of_the_body_is_skipped(erp: ErpReceiver) -> None:
    """An empty document would replace the one that the ERP has."""
    await deliver(erp, delivery(key="1", body={"amount": 1}))
    [outcome] = await deliver(erp, delivery(key="2", body={}))

    assert isinstance(outcome, Skip)
    assert erp.documents["invoices", ORDER]["document"] == {"amount": 1}


async def test_gap_event_writes_nothing(erp: ErpReceiver) -> None:
    """It holds no fields, whatever the body makes of it."""
    [outcome] = await deliver(erp, delivery(event("salesforce.cdc.Order.gap"), body={"state": "open"}))

    assert isinstance(outcome, Skip)
    assert len(erp.journal) == 0


async def test_body_that_json_cannot_hold_is_rejected(erp: ErpReceiver) -> None:
    """A number beyond 64 bits is the mapping's mistake, not the network's."""
    [outcome] = await deliver(erp, delivery(body={"amount": 2**70}))

    assert isinstance(outcome, Reject)


async def test_key_with_a_line_feed_adds_no_header(erp: ErpReceiver) -> None:
    """Foreign ids are quoted, the same way each time."""
    await deliver(erp, delivery(key="a\r\nX-Evil: ü"))

    assert erp.journal[0].key == "a%0D%0AX-Evil:%20%C3%BC"
