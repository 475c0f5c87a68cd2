"""A daemon whose subscriber looks records up in the states that Streamer keeps."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from streamer.sandbox import Sandbox
from tests.configuration import sandbox_configuration, written
from tests.daemon import Daemon
from tests.waiting import until

ACCOUNTS, UPDATES = 6, 5
STATE = {"objects": ["Account"]}
LOOKED_UP = {
    "uses": "file",
    "on": [f"salesforce.cdc.Account.{kind}" for kind in ("created", "updated", "deleted")],
    "start": "earliest",
    "enrich": {"now": {"state": "Account", "fields": ["Name", "Phone"]}},
    "body": {"id": "subject", "phone": "data.fields.Phone", "now": "now", "state": "lookups.now"},
}


async def test_each_event_is_sent_with_a_state_that_has_it(sandbox: Sandbox, tmp_path: Path) -> None:
    """Updates have no name, and the name comes from the state. A deleted record is missing."""
    accounts = created(sandbox)
    async with delivering(sandbox, {"sqlite": {"path": "log.db"}}, tmp_path):
        await changed(sandbox, accounts)
        sent = await delivered(tmp_path, ACCOUNTS * (1 + UPDATES))
        with sandbox.org.transaction() as transaction:
            transaction.delete("Account", accounts[0])
        of_deleted = (await delivered(tmp_path, len(sent) + 1))[-1]

    assert is_sound(sent, accounts)
    assert (of_deleted["id"], of_deleted["now"], of_deleted["state"]) == (accounts[0], None, "missing")


async def test_processes_that_share_the_partitions_look_up_the_states_of_each_other(
    sandbox: Sandbox, kafka: str, tmp_path: Path
) -> None:
    """A record's changes can be delivered by one process, and its state kept by another."""
    prefix = f"lookups{uuid.uuid4().hex[:8]}"
    accounts = created(sandbox)
    folders = [tmp_path / "first", tmp_path / "second"]
    async with AsyncExitStack() as stack:
        for folder in folders:
            folder.mkdir()
            log = {
                "bootstrap_servers": kafka,
                "prefix": prefix,
                "topic": f"{prefix}.{{kind}}.{{name}}",
                "state_topic": f"{prefix}.state.{{name}}",
                "state_directory": str(folder / "state"),
                "partitions": 4,
            }
            await stack.enter_async_context(delivering(sandbox, {"kafka": log}, folder))
        await changed(sandbox, accounts)
        sent = await delivered(tmp_path, ACCOUNTS * (1 + UPDATES))

    assert is_sound(sent, accounts)


def created(sandbox: Sandbox) -> list[str]:
    """Create the accounts, and return their ids."""
    with sandbox.org.transaction() as transaction:
        return [
            transaction.create("Account", {"Name": f"No {number}", "Phone": "0"})
            for number in range(ACCOUNTS)
        ]


async def changed(sandbox: Sandbox, accounts: list[str]) -> None:
    """Count in each account's phone, one transaction after another."""
    for number in range(1, UPDATES + 1):
        for account in accounts:
            with sandbox.org.transaction() as transaction:
                transaction.update("Account", account, {"Phone": str(number)})
            await asyncio.sleep(0)


@asynccontextmanager
async def delivering(sandbox: Sandbox, log: dict[str, Any], folder: Path) -> AsyncIterator[None]:
    """Run a daemon that delivers to a file in `folder`."""
    if sqlite := log.get("sqlite"):
        log = {"sqlite": {**sqlite, "path": str(folder / sqlite["path"])}}
    subscriber = {**LOOKED_UP, "settings": {"path": str(folder / "sent.jsonl")}}
    configuration = sandbox_configuration(sandbox.url, log=log, state=STATE, subscribers={"copy": subscriber})
    async with Daemon.running(written(folder, configuration)) as daemon:
        await daemon.ready()
        yield
        assert await daemon.stop() == 0


async def delivered(folder: Path, count: int) -> list[dict[str, Any]]:
    """Wait for `count` deliveries in the files below `folder`, and return what was sent."""

    def found() -> list[dict[str, Any]] | None:
        lines = [line for path in folder.rglob("sent.jsonl") for line in path.read_bytes().splitlines(True)]
        sent = [orjson.loads(line)["data"] for line in lines if line.endswith(b"\n")]
        return sent if len(sent) >= count else None

    sent: list[dict[str, Any]] = await until(found)
    assert len(sent) == count
    return sent


def is_sound(sent: list[dict[str, Any]], accounts: list[str]) -> bool:
    """Return true if each event had its account's name, and a phone that is not older than its own."""
    return all(
        each["now"]["Name"] == f"No {accounts.index(each['id'])}"
        and int(each["now"]["Phone"]) >= int(each["phone"])
        for each in sent
    )
