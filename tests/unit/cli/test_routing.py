"""`streamer explain` and `streamer render` on events from files."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from streamer.app.chains.verdicts import Verdicts
from streamer.app.plan import plan
from streamer.cli import app
from streamer.clock import TurnedClock
from streamer.configuration import load_document
from streamer.events import SubscriberName
from tests.contracts.values import an_event

CONFIGURATION = """\
org:
  login_url: https://acme.my.salesforce.com
  auth: {flow: client_credentials, client_id: app, client_secret: sesame}
channels: [/data/ChangeEvents, /event/Order_Placed__e]
subscribers:
  invoice:
    uses: erp
    on: salesforce.cdc.Opportunity.*
    when: data.fields.StageName == 'Closed Won' && data.fields.Amount > `5`
    body: {id: subject, amount: data.fields.Amount, day: date(data.fields.CloseDate)}
    settings: {url: "https://erp.acme.com/api", auth: {kind: bearer, token: hunter2}}
  order:
    uses: fulfillment
    on: [salesforce.event.Order_Placed__e]
    settings: {url: "https://f.acme.com", order: data.fields.Order_No__c}
  number:
    uses: erp
    after: invoice
    on_rejected: run
    enrich: {account: {sobject: Account, id: data.fields.AccountId, fields: [ERP_Id__c]}}
    when: lookups.account != 'missing'
    body: {customer: account.ERP_Id__c, failed: receipts.invoice.rejected}
    settings: {url: "https://erp.acme.com/numbers", external_id: receipts.invoice.number}
  verified:
    uses: webhook
    on: salesforce.cdc.Lead.*
    enrich:
      customer:
        http: {url: "https://crm.acme.com/customers/{id}", auth: {kind: bearer, token: hunter3}}
        id: data.fields.ErpNo
        fields: [name]
    body: {name: customer.name}
    settings: {url: "https://v.acme.com", content_mode: plain}
"""
FIELDS = {"StageName": "Closed Won", "Amount": 12.5, "CloseDate": "2025-01-31"}

Invoke = Callable[..., Result]


def change(**fields: Any) -> dict[str, Any]:
    """Return the data of an update, as the value of a record in Kafka holds them."""
    return {
        "entity": "Opportunity",
        "record_id": "006A",
        "change": "UPDATE",
        "fields": FIELDS | fields,
        "changed_fields": [],
        "nulled_fields": [],
        "transaction": {"key": "tx", "sequence": 1},
    }


@pytest.fixture
def invoke(tmp_path: Path) -> Invoke:
    """Call a command on events with the configuration."""
    config = tmp_path / "streamer.yaml"
    config.write_text(CONFIGURATION)

    def invoked(*arguments: str, events: Any = None) -> Result:
        text = events if isinstance(events, str) else json.dumps(events)
        return CliRunner().invoke(app, [*arguments, "-c", str(config)], input=text)

    return invoked


def verdicts(invoke: Invoke, events: Any, *more: str) -> list[dict[str, tuple[bool, str]]]:
    """Return for each event whether each subscriber gets it, and why not."""
    answer = invoke("explain", "-", "--json", *more, events=events)
    return [
        {each["name"]: (each["matches"], each["why_not"] or "") for each in event["subscribers"]}
        for event in json.loads(answer.stdout)["events"]
    ]


def test_explain_says_who_gets_an_event_and_why_not(invoke: Invoke) -> None:
    """By the patterns, and by the values of the fields that the predicate looks at."""
    answer = invoke("explain", "-", events=change(StageName="Open"))

    assert answer.exit_code == 0
    head, _, invoice, order, number, _ = answer.stdout.splitlines()
    assert head == "salesforce.cdc.Opportunity.updated 006A"
    assert invoice.split(maxsplit=2) == [
        "invoice",
        "no",
        (
            'the condition `when` is not true for this event; data.fields.StageName is "Open"; '
            "data.fields.Amount is 12.5"
        ),
    ]
    assert "on matches only these types: salesforce.event.Order_Placed__e" in order
    assert "this subscriber waits for invoice, which does not get this event" in number


def test_explain_tells_an_absent_field_from_null(invoke: Invoke) -> None:
    """As an update that did not change it has none."""
    events = [change(Amount=None), {**change(), "fields": {}}]

    assert [each["invoice"] for each in verdicts(invoke, events)] == [
        (
            False,
            (
                'the condition `when` is not true for this event; data.fields.StageName is "Closed Won"; '
                "data.fields.Amount is null"
            ),
        ),
        (
            False,
            (
                "the condition `when` is not true for this event; data.fields.StageName is absent; "
                "data.fields.Amount is absent"
            ),
        ),
    ]


def test_event_on_which_an_expression_fails_is_told(invoke: Invoke) -> None:
    """A daemon makes a dead letter of it, so the exit status is 1."""
    answer = invoke("explain", "-", events=change(CloseDate="soon"))

    assert answer.exit_code == 1
    assert "dead letter: body fails on this event: date(): argument 1 (time) must look like" in answer.stdout


@pytest.mark.parametrize(
    "event",
    [
        change(),
        {"specversion": "1.0", "id": "1", "source": "/s", "type": "salesforce.cdc.Opportunity.updated",
         "subject": "006A", "time": "2025-01-01T00:00:00.000Z", "sfchannel": "/data/ChangeEvents",
         "sfreplayid": "7", "data": change()},
        {"id": "1:erp", "subscriber": "erp", "event": {"id": "1", "source": "/s", "key": "006A",
         "type": "salesforce.cdc.Opportunity.updated", "subject": "006A",
         "time": "2025-01-01T00:00:00.000Z", "data": change()}},
    ],
)  # fmt: skip
def test_event_can_have_any_form_in_which_streamer_shows_it(invoke: Invoke, event: Any) -> None:
    """The value of a record in Kafka, a CloudEvent, and a dead letter."""
    for text in (
        json.dumps(event),
        json.dumps([event]),
        json.dumps(event, indent=2),
        json.dumps(event) + "\n",
    ):
        [found] = verdicts(invoke, text)
        assert found["invoice"] == (True, "")


@pytest.mark.parametrize(
    ("data", "event_type"),
    [
        ({"entity": "Order_Placed__e", "fields": {}}, "salesforce.event.Order_Placed__e"),
        ({"entity": "A", "change": "GAP_UPDATE", "fields": {}}, "salesforce.cdc.A.gap"),
        ({"entity": "Open", "change": "created", "fields": {}}, "salesforce.topic.Open.created"),
        ({"entity": "/u/notes/Demo", "payload": "x"}, "salesforce.generic.notes_Demo"),
        ({"entity": "Lead", "fields": {}, "action_id": "04k"}, "salesforce.outbound.Lead"),
    ],
)
def test_type_of_bare_data_is_what_they_tell(invoke: Invoke, data: Any, event_type: str) -> None:
    """Unless `--type` says another."""
    told = [invoke("explain", "-", "--json", *more, events=data) for more in ((), ("--type", "other"))]

    assert [json.loads(each.stdout)["events"][0]["type"] for each in told] == [event_type, "other"]


def test_lines_are_explained_one_by_one(invoke: Invoke) -> None:
    """As a console consumer prints them."""
    lines = "\n".join(json.dumps(change(Amount=amount)) for amount in (1, 10))

    assert [each["invoice"][0] for each in verdicts(invoke, lines)] == [False, True]


@pytest.mark.parametrize(
    ("more", "verdict"),
    [
        ({}, (True, "")),
        ({"receipts": {"invoice": {"outcome": "delivered"}}}, (True, "")),
        ({"receipts": {"invoice": {"outcome": "rejected"}}}, (True, "")),
        (
            {"receipts": {"invoice": {"outcome": "skipped"}}},
            (False, "the upstream subscriber invoice has skipped the event"),
        ),
        (
            {"account": None},
            (False, 'the condition `when` is not true for this event; lookups.account is "missing"'),
        ),
    ],
)
def test_explain_knows_the_receipts_and_the_records_of_the_file(
    invoke: Invoke, more: dict[str, Any], verdict: tuple[bool, str]
) -> None:
    """Beside the data, with or without the attributes of an event."""
    found = verdicts(invoke, [{"data": change()} | more])

    assert found[0]["number"] == verdict


def test_what_the_file_lacks_is_told(invoke: Invoke) -> None:
    """A body would miss it in silence."""
    sentence = "the file has no receipts.invoice, no account for this event: add them beside the event's data"

    explained, rendered = (
        invoke(*command, "-", events=change()) for command in (["explain"], ["render", "number"])
    )
    assert explained.stdout.splitlines()[-1] == f"number: {sentence}"
    assert f"streamer: {sentence}\n" in rendered.stderr


@pytest.mark.parametrize(
    "receipt",
    [
        {"number": "I 1"},
        # As a dead letter shows it.
        {"outcome": "delivered", "answer": {"number": "I 1"}, "attempts": 1},
    ],
)
def test_render_takes_receipts_and_records_from_the_file(invoke: Invoke, receipt: Any) -> None:
    """In the body as in the settings of the plugin."""
    event = {"data": change(), "receipts": {"invoice": receipt}, "account": {"ERP_Id__c": "C-7"}}
    answer = invoke("render", "number", "-", events=event)

    assert answer.stderr == ""
    assert answer.stdout.startswith("PUT https://erp.acme.com/numbers/I%201\n")
    assert answer.stdout.endswith('{"customer":"C-7","failed":false}\n')


def test_render_names_the_request_for_a_record_of_a_service(invoke: Invoke) -> None:
    """As it would be sent, but for secrets; a record that the file gives is not asked for."""
    event = {**change(ErpNo=47)}
    answer = invoke("render", "verified", "-", events=event)
    assert (
        "streamer: the look-up enrich.customer sends: GET https://crm.acme.com/customers/47\n"
        in answer.stderr
    )
    [shown] = json.loads(invoke("render", "verified", "-", "--json", events=event).stdout)["events"]
    assert shown["lookups"]["customer"]["request"] == "GET https://crm.acme.com/customers/47"
    assert shown["lookups"]["customer"]["headers"]["Authorization"] == "Bearer ***"

    given = {"data": event, "customer": {"name": "Acme"}}
    [shown] = json.loads(invoke("render", "verified", "-", "--json", events=given).stdout)["events"]
    assert "lookups" not in shown
    assert json.loads(shown["content"]) == {"name": "Acme"}


def test_render_of_what_was_rejected_has_a_key_of_its_own(invoke: Invoke) -> None:
    """As the daemon sends it."""
    receipt = {"outcome": "rejected", "answer": {"number": "I-1"}}
    answer = invoke("render", "number", "-", events={"data": change(), "receipts": {"invoice": receipt}})

    assert "Idempotency-Key: tx:1:006A:number:rejected" in answer.stdout
    assert '"failed":true' in answer.stdout


def test_render_prints_what_would_be_sent(invoke: Invoke) -> None:
    """The request as it goes out, but for the secret."""
    answer = invoke("render", "invoice", "-", events=change())

    head, _, content = answer.stdout.rstrip("\n").partition("\n\n")
    assert (answer.exit_code, answer.stderr) == (0, "")
    assert head.splitlines()[0] == "PUT https://erp.acme.com/api/006A"
    assert {"Authorization: Bearer ***", "Idempotency-Key: tx:1:006A:invoice"} <= set(head.splitlines())
    assert content == '{"id":"006A","amount":12.5,"day":"2025-01-31"}'


def test_render_as_json_has_the_same(invoke: Invoke) -> None:
    """For scripts."""
    answer = invoke("render", "invoice", "-", "--json", events=[change(), change(Amount=7)])

    found = json.loads(answer.stdout)["events"]
    assert [json.loads(each["content"])["amount"] for each in found] == [12.5, 7]
    assert found[0]["headers"]["Content-Type"] == "application/json"


def test_render_says_when_the_subscriber_does_not_get_the_event(invoke: Invoke) -> None:
    """And renders it all the same, as who writes a body wants to see it."""
    answer = invoke("render", "invoice", "-", events=change(StageName="Open"))

    assert answer.exit_code == 0
    assert answer.stderr == (
        "streamer: invoice does not get this event: the condition `when` is not true for this event; "
        'data.fields.StageName is "Open"; '
        "data.fields.Amount is 12.5\n"
    )
    assert '"amount":12.5' in answer.stdout


@pytest.mark.parametrize(("stage", "is_for_it"), [("Closed Won", True), ("Open", False)])
def test_delivery_is_shaped_once(tmp_path: Path, stage: str, *, is_for_it: bool) -> None:
    """The verdict and the request are of one evaluation, whether the subscriber gets the event or not."""
    invoice = SubscriberName("invoice")
    evaluated: list[str] = []
    path = tmp_path / "streamer.yaml"
    path.write_text(CONFIGURATION)
    checked = plan(load_document([path]), TurnedClock())
    route = replace(checked.routes[invoice], body=lambda document: evaluated.append(document["id"]))
    data = change(StageName=stage)
    event = an_event("one", what="salesforce.cdc.Opportunity.updated", key="006A", data=data)
    checked = replace(checked, routes={**checked.routes, invoice: route})
    verdicts = Verdicts(checked, event, {})

    assert verdicts.of(invoice).matches is is_for_it
    assert verdicts.delivery(invoice).key == "one:invoice"
    assert evaluated == ["one"]


def test_render_of_an_event_on_which_when_fails_shows_that(invoke: Invoke) -> None:
    """The daemon evaluates `when` first, and the body not at all."""
    answer = invoke("render", "invoice", "-", events=change(Amount="much", CloseDate="soon"))

    assert "nothing is sent: when fails on this event" in answer.stderr
    assert answer.exit_code == 1


@pytest.mark.parametrize(
    ("name", "event", "status", "said"),
    [
        ("invoice", change(CloseDate="soon"), 1, "nothing is sent: body fails on this event: date():"),
        ("order", {"entity": "Order_Placed__e", "fields": {}}, 1, "nothing is sent: order (data.fields"),
        ("invoice", {**change(), "change": "DELETE"}, 0, "nothing is sent: the record was deleted"),
        ("invoise", change(), 2, "SUBSCRIBER: found 'invoise'; did you mean invoice? conf"),
        ("invoice", {"a": 1}, 2, "-: line 1: is not an event: it has neither the keys type"),
        ("invoice", {"type": 5, "data": {}}, 2, "-: line 1: the event's type is not a text"),
        ("invoice", {"data": change(), "receipts": []}, 2, "the event's receipts are not a JSON object"),
        ("invoice", "{", 2, "-: line 1: is not JSON"),
        ("invoice", "x", 2, "-: line 1: must begin with { or ["),
    ],
)  # fmt: skip
def test_render_says_why_nothing_is_sent(
    invoke: Invoke, name: str, event: Any, status: int, said: str
) -> None:
    """In a sentence, with an exit status for scripts."""
    answer = invoke("render", name, "-", events=event)

    assert said in answer.stderr
    assert answer.exit_code == status


def test_file_that_is_not_there_is_named(invoke: Invoke, tmp_path: Path) -> None:
    """Before anything else happens."""
    answer = invoke("explain", str(tmp_path / "nowhere.json"))

    assert (answer.exit_code, answer.stdout) == (2, "")
    assert answer.stderr.endswith("nowhere.json: can't be read: No such file or directory\n")


def test_shell_completes_the_names_of_subscribers(tmp_path: Path) -> None:
    """From the configuration that was named before."""
    config = tmp_path / "streamer.yaml"
    config.write_text(CONFIGURATION)
    words = f"streamer render -c {config} in"
    environment = {
        "_STREAMER_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }

    answer = CliRunner().invoke(app, prog_name="streamer", env=environment)
    assert answer.stdout.split() == ["invoice"]
