"""An org whose accounts a daemon has written to Kafka, as changes and as record states."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.org.org import SandboxOrg
from tests.configuration import sandbox_configuration, written
from tests.daemon import Daemon
from tests.integration.kafka.topics import read_committed
from tests.waiting import until

_DEADLINE_S = 60.0
_CITIES = {"BillingCity": "Oslo", "BillingCountry": "Norway"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenOrg:
    """The org's accounts, and the topics that hold them; `registry` has the schemas in Avro."""

    kafka: str
    registry: str
    prefix: str
    """Beginning of the topics' names, where a page says `salesforce`."""
    accounts: Mapping[str, Mapping[str, Any]]
    """The accounts that exist, by id, with the names of the org's fields."""
    changes: Mapping[str, Sequence[str]]
    """The kinds of each account's changes, also of a deleted account, without those of the snapshot."""

    @property
    def table(self) -> list[tuple[Any, ...]]:
        """The id, name, city and revenue of each account, in the order of the ids."""
        return [
            (record_id, *map(fields.get, ("Name", "BillingCity", "AnnualRevenue")))
            for record_id, fields in sorted(self.accounts.items())
        ]

    def adapted(self, code: str) -> str:
        """Return a page's code with this org's addresses and topics, and with a group of its own."""
        for shown, used in {
            "localhost:9092": self.kafka,
            "http://localhost:8081": self.registry,
            "my-service": f"{self.prefix}-service",
            "salesforce.state.": f"{self.prefix}.state.",
            "salesforce.cdc.": f"{self.prefix}.cdc.",
        }.items():
            code = code.replace(shown, used)
        return code


async def write_org(
    kafka: str, registry: str, form: str, folder: Path, *, envelope: str = "streamer"
) -> WrittenOrg:
    """Run a daemon until all states are in Kafka.

    After them, the state topic has a record of an aborted transaction, with the
    first state of an account that has changed since.
    """
    prefix = f"w{uuid.uuid4().hex[:8]}"
    log = {
        "bootstrap_servers": kafka,
        "prefix": prefix,
        "topic": f"{prefix}.{{kind}}.{{name}}",
        "state_topic": f"{prefix}.state.{{name}}",
        "state_directory": str(folder / "state"),
        "partitions": 2,
        "format": form,
        "state_envelope": envelope,
        "schema_registry": {"url": registry},
    }
    topic = f"{prefix}.state.Account"
    async with Sandbox(SystemClock()) as sandbox:
        changes, deleted = _change_accounts(sandbox.org)
        accounts = {each: sandbox.org.retrieve("Account", each) for each in changes if each != deleted}
        names = {each: accounts[each]["Name"].encode() if each in accounts else b"" for each in changes}
        configuration = sandbox_configuration(sandbox.url, log={"kafka": log}, state={"objects": ["Account"]})
        async with Daemon.running(written(folder, configuration)) as daemon:
            await daemon.ready()
            await until(partial(_has_states, kafka, topic, names), every_s=0.2)
            assert await daemon.stop() == 0
    await _abort_repetition(kafka, topic)
    return WrittenOrg(kafka=kafka, registry=registry, prefix=prefix, accounts=accounts, changes=changes)


def _change_accounts(org: SandboxOrg) -> tuple[dict[str, list[str]], str]:
    """Change accounts; return the kinds of each account's changes, and the account that is deleted.

    The last change of each other account sets its name.
    """
    with org.transaction() as transaction:
        changed = transaction.create("Account", {"Name": "Acme", "AnnualRevenue": 12.5, **_CITIES})
        whole = transaction.create("Account", {"Name": "Bølt", "AnnualRevenue": 1e6 + 0.25, **_CITIES})
        deleted = transaction.create("Account", {"Name": "Cell", "Industry": "Retail"})
        restored = transaction.create("Account", {"Name": "Dune", "Industry": "Retail"})
    with org.transaction() as transaction:
        transaction.update(
            "Account", changed, {"Name": "Åcme", "AnnualRevenue": None, "BillingCity": "Bergen"}
        )
        transaction.delete("Account", deleted)
        transaction.delete("Account", restored)
    with org.transaction() as transaction:
        transaction.undelete("Account", restored)
    with org.transaction() as transaction:
        transaction.update("Account", restored, {"Name": "Dune 2", "Industry": "Energy"})
    changes = {
        changed: ["CREATE", "UPDATE"],
        whole: ["CREATE"],
        deleted: ["CREATE", "DELETE"],
        restored: ["CREATE", "DELETE", "UNDELETE", "UPDATE"],
    }
    return changes, deleted


async def _has_states(kafka: str, topic: str, names: Mapping[str, bytes]) -> bool:
    """Return true once the newest states have these names; a deleted account's name is empty.

    Both formats hold texts as UTF-8.
    """
    newest = {(record.key or b"").decode(): record.value for record in await read_committed(kafka, topic)}
    return newest.keys() == names.keys() and all(
        name in (newest[record_id] or b"") and bool(name) == (newest[record_id] is not None)
        for record_id, name in names.items()
    )


async def _abort_repetition(kafka: str, topic: str) -> None:
    first = (await read_committed(kafka, topic))[0]
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": f"{topic}.aborted"})
    producer.init_transactions(_DEADLINE_S)
    producer.begin_transaction()
    producer.produce(first.topic, first.value, first.key, first.partition, headers=list(first.headers))
    producer.flush(_DEADLINE_S)
    producer.abort_transaction(_DEADLINE_S)
