"""Expressions and templates are compiled when the configuration loads, and not for each event."""

from collections import Counter
from pathlib import Path
from typing import Any

import jinja2
import jmespath.parser
import pytest

from streamer.clock import SystemClock
from streamer.expressions.evaluation import Compiler
from streamer.sandbox import Sandbox
from streamer.testing import Reply, ScriptedTarget
from tests.configuration import sandbox_configuration, written
from tests.in_process import offer_plugins, running
from tests.waiting import until

SOAP = b"<Envelope><Body><CreateResponse><Number>7</Number></CreateResponse></Body></Envelope>"
ENVELOPE = "<Envelope><Body>{{ body | elements }}<Id>{{ id }}</Id></Body></Envelope>"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer the plugins, however the package was installed."""
    offer_plugins(
        monkeypatch,
        erp="subscribers.erp:Erp",
        file="subscribers.file:File",
        fulfillment="subscribers.fulfillment:Fulfillment",
        stdout="subscribers.stdout:Stdout",
        webhook="subscribers.webhook:Webhook",
    )


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what compiles: JMESPath's parser, our compiler of its trees, and Jinja2's compiler."""
    found: Counter[str] = Counter()

    def count(owner: type, method: str) -> None:
        original = getattr(owner, method)

        def counted(*given: Any, **named: Any) -> Any:
            found[f"{owner.__name__}.{method}"] += 1
            return original(*given, **named)

        monkeypatch.setattr(owner, method, counted)

    # A hit in the parser's own cache counts, too: it holds 128 expressions.
    count(jmespath.parser.Parser, "parse")
    count(Compiler, "made")
    count(jinja2.Environment, "parse")
    count(jinja2.Environment, "compile")
    return found


def subscribers(url: str, soap_url: str, folder: Path) -> dict[str, Any]:
    """Return subscribers with an expression or a template in each place that takes one."""
    shaped = {
        "on": "salesforce.cdc.Account.created",
        "when": "data.fields.Name != 'nobody' && starts_with(subject, '001')",
        "enrich": {
            "record": {"fields": ["Name", "OwnerId"]},
            "owner": {"sobject": "User", "id": "record.OwnerId", "fields": ["Name"]},
        },
        "body": {"name": "upper(record.Name)", "owner": ["owner.Name", {"id": "subject"}]},
    }
    after = {"after": "document", "when": "receipts.document.ok"}
    return {
        "document": {**shaped, "uses": "erp", "settings": {"url": url, "external_id": "lower(subject)"}},
        "service": {
            **shaped,
            "uses": "erp",
            "settings": {"url": soap_url, "soap": {"operation": "Create", "envelope": ENVELOPE}},
        },
        "shipment": {
            **after,
            "uses": "fulfillment",
            "body": {"order": "subject", "ok": "receipts.document.ok"},
            "settings": {"url": url, "order": "join('-', [subject, 'a'])", "cancel_when": "data.x == 'y'"},
        },
        "people": {
            **after,
            "uses": "stdout",
            "text": "{{ data.fields.Name | upper }} {% for c in data.changed_fields %}{{ c }}{% endfor %}",
        },
        "hook": {
            "uses": "webhook",
            "on": "salesforce.cdc.*",
            "content": {"template": "<a>{{ data.fields.Name }}</a>", "type": "text/xml"},
            "settings": {"url": f"{url}/{{entity}}/{{data.fields.Name}}"},
        },
        "lines": {
            "uses": "file",
            "on": "salesforce.cdc.*",
            "settings": {"path": str(folder / "{entity}.jsonl")},
        },
    }


async def test_events_compile_nothing(tmp_path: Path, compilations: Counter[str]) -> None:
    """All is compiled before the second event; hundreds of events with look-ups and receipts add nothing."""
    async with (
        Sandbox(SystemClock()) as sandbox,
        ScriptedTarget() as target,
        ScriptedTarget(Reply(headers={"Content-Type": "text/xml"}, body=SOAP)) as service,
    ):

        def create(*names: str) -> None:
            with sandbox.org.transaction() as transaction:
                for name in names:
                    transaction.create("Account", {"Name": name})

        def arrived(events: int) -> bool:
            lines = sum(each.read_bytes().count(b"\n") for each in tmp_path.glob("*.jsonl"))
            # Each event makes a document, a shipment and a hook.
            sent = len(target.requests) >= 3 * events and len(service.requests) >= events
            return sent and lines >= events

        whole = sandbox_configuration(sandbox.url, log={"sqlite": {"path": str(tmp_path / "log.db")}})
        whole["subscribers"] = subscribers(target.url, service.url, tmp_path)
        async with running(written(tmp_path, whole)):
            create("first")
            await until(lambda: arrived(1))
            loaded = compilations.copy()
            create(*(f"No {number}" for number in range(150)))
            await until(lambda: arrived(151))

    assert len(loaded) == 4
    assert compilations == loaded
