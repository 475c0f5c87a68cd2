"""A daemon that changes the records whose changes it reads: the loop guard, faults and Apex methods."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from streamer.app.plan import plan
from streamer.clock import SystemClock
from streamer.configuration import load_document
from streamer.errors import ConfigurationError
from streamer.sandbox import ApexAnswer
from streamer.sandbox.server import Sandbox
from tests.configuration import CHANGES, over_pubsub, sandbox_configuration, written
from tests.in_process import offer_plugins, running
from tests.waiting import until

CLIENT = "acme-bus"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer the plugin, however the package was installed."""
    offer_plugins(monkeypatch, salesforce="subscribers.salesforce:Salesforce")


def configuration(
    sandbox: Sandbox, tmp_path: Path, *, client: str | None = CLIENT, **subscriber: Any
) -> Path:
    """Write the configuration of a daemon that numbers each account which it sees change."""
    whole = sandbox_configuration(sandbox.url, log={"sqlite": {"path": str(tmp_path / "log.db")}})
    if sandbox.pubsub is not None:
        whole = over_pubsub(whole, sandbox.pubsub_address)
    whole["org"] |= {"client_name": client} if client else {}
    numbered = {
        "uses": "salesforce",
        "on": "salesforce.cdc.Account.*",
        "body": {"Id": "subject", "AccountNumber": "data.transaction.key"},
        "settings": {"update": "Account"},
        "retry": {"first_delay_s": 0.05, "max_delay_s": 0.1},
        **subscriber,
    }
    return written(tmp_path, {**whole, "subscribers": {"numbered": numbered}})


def create(sandbox: Sandbox, *names: str) -> list[str]:
    """Create accounts, each in a transaction, and return their ids."""
    ids = []
    for name in names:
        with sandbox.org.transaction() as transaction:
            ids.append(transaction.create("Account", {"Name": name}))
    return ids


def changes(sandbox: Sandbox) -> list[tuple[str, str, str]]:
    """Return the type, the record and the origin of each change so far."""
    headers = [
        orjson.loads(each.data)["payload"]["ChangeEventHeader"] for each in sandbox.bus.after(CHANGES, 0)
    ]
    return [
        (header["changeType"], record_id, header["changeOrigin"])
        for header in headers
        for record_id in header["recordIds"]
    ]


def numbers(sandbox: Sandbox, ids: list[str]) -> list[str | None]:
    """Return the numbers of accounts."""
    return [sandbox.org.retrieve("Account", each).get("AccountNumber") for each in ids]


@pytest.mark.parametrize("pubsub_port", [None, 0], ids=["cometd", "pubsub"])
async def test_change_of_the_record_that_triggered_it_is_one_round(
    tmp_path: Path, pubsub_port: int | None
) -> None:
    """The write-back changes the record once; the change of another client is one more round."""
    async with (
        Sandbox(SystemClock(), pubsub_port=pubsub_port) as sandbox,
        running(configuration(sandbox, tmp_path)),
    ):
        [account] = create(sandbox, "Acme")
        await until(lambda: len(changes(sandbox)) == 2)
        origin = f"com/salesforce/api/rest/64.0;client={CLIENT}-2"
        with sandbox.org.transaction(origin=origin) as transaction:
            transaction.update("Account", account, {"Phone": "1"})
        await until(lambda: len(changes(sandbox)) == 4)
        # A third round would come before the mark.
        [mark] = create(sandbox, "Mark")
        await until(lambda: numbers(sandbox, [mark])[0])
    own = f"com/salesforce/api/rest/64.0;client={CLIENT}"
    assert [(kind, by == own) for kind, record_id, by in changes(sandbox) if record_id == account] == [
        ("CREATE", False),
        ("UPDATE", True),
        ("UPDATE", False),
        ("UPDATE", True),
    ]


async def test_each_record_is_written_through_faults(tmp_path: Path) -> None:
    """Locked rows, lost answers and an expired token cost no record."""
    quick = {"open_s": 0.05, "max_open_s": 0.1}
    async with (
        Sandbox(SystemClock()) as sandbox,
        running(configuration(sandbox, tmp_path, breaker=quick)),
    ):
        sandbox.faults.arm("refuse_record", {"times": 3})
        sandbox.faults.arm("lose_answer", {"times": 2})
        ids = create(sandbox, *(f"No {number}" for number in range(20)))
        sandbox.tokens.revoke_all()
        ids += create(sandbox, *(f"No {number}" for number in range(20, 25)))
        await until(lambda: all(numbers(sandbox, ids)))
        assert len(set(numbers(sandbox, ids))) == 25


async def test_refused_record_is_set_aside_and_the_others_go_on(tmp_path: Path) -> None:
    """With Salesforce's words."""
    body = {"Id": "subject", "AccountNumber": "data.fields.Name", "NumberOfEmployees": "data.fields.Name"}
    on = "salesforce.cdc.Account.created"
    with capture_logs() as lines:
        async with (
            Sandbox(SystemClock()) as sandbox,
            running(configuration(sandbox, tmp_path, on=on, body=body)),
        ):
            refused, taken = create(sandbox, "no number", "7")
            await until(lambda: numbers(sandbox, [taken])[0])
            await until(lambda: any(line["event"] == "event.set_aside" for line in lines))
            assert numbers(sandbox, [refused]) == [None]
    [letter] = [line for line in lines if line["event"] == "event.set_aside"]
    assert letter["event_id"].endswith(refused)
    assert "JSON_PARSER_ERROR" in letter["error"]


async def test_many_changes_take_few_calls(tmp_path: Path) -> None:
    """A backlog of hundreds of records goes back in a few collections."""
    async with Sandbox(SystemClock()) as sandbox:
        ids = create(sandbox, *(f"No {number}" for number in range(400)))
        async with running(configuration(sandbox, tmp_path, start="earliest")):
            await until(lambda: all(numbers(sandbox, ids)))
        assert sandbox.org.usage.api_requests.total < 40


async def test_method_of_the_org_is_called(tmp_path: Path) -> None:
    """Its refusal is a retry, and its answer the end of the delivery."""
    settings = {"call": {"rest": "/numbers/{Id}", "method": "PUT"}}
    body = {"Id": "subject", "name": "data.fields.Name"}
    answers = [ApexAnswer(status=503), {"number": "7"}]
    async with Sandbox(SystemClock()) as sandbox:
        sandbox.apex.rest("PUT", "/numbers/*", lambda _: answers.pop(0))
        on = "salesforce.cdc.Account.created"
        async with running(configuration(sandbox, tmp_path, on=on, settings=settings, body=body)):
            [account] = create(sandbox, "Acme")
            await until(lambda: not answers)
    assert [(call.path, call.arguments, call.client) for call in sandbox.apex.calls] == [
        (f"/numbers/{account}", {"name": "Acme"}, CLIENT)
    ] * 2


async def test_deployment_without_a_name_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    """With its place, before anything connects."""
    async with Sandbox(SystemClock()) as sandbox:
        path = configuration(sandbox, tmp_path, client=None)
    with pytest.raises(ConfigurationError) as refused:
        plan(load_document([path]), SystemClock())

    [line] = str(refused.value).splitlines()
    assert ": subscribers.numbered.settings: org.client_name is missing" in line
