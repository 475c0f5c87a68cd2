"""Hostile answers about records, over REST and of the Bulk API."""

import asyncio
from functools import partial
from typing import Any

import orjson

from streamer.sandbox.org.changes import ChangeType
from tests.acceptance.fuzz.besieged import Besieged
from tests.acceptance.fuzz.hostile_org import HostileAnswer, gzipped
from tests.acceptance.fuzz.shapes.shape import GZIP, MB, many, shape
from tests.waiting import until

_REPAIRED = "gaps.repaired"


def _gap(besieged: Besieged) -> None:
    besieged.sandbox.org.publish_gap("Account", [besieged.account], ChangeType.GAP_UPDATE)


async def _gap_read(besieged: Besieged, body: bytes, to: str = "composite/sobjects", **more: Any) -> None:
    """Let a gap be read with this answer, and then with a good one, so that no pause is left for the next."""
    repaired = len(besieged.daemon.logged(_REPAIRED))
    answer = HostileAnswer(to=to, body=lambda _: body, **more)
    await besieged.org_answers(answer, then=partial(_gap, besieged))

    async def ask_again() -> None:
        # A gap is read with the answers of its channel.
        besieged.change()

    await until(lambda: len(besieged.daemon.logged(_REPAIRED)) > repaired, every_s=1.0, between=ask_again)


@shape("rest: 100,000 records for one")
async def _(besieged: Besieged, size: float) -> None:
    record = orjson.dumps({"attributes": {"type": "Account"}, "Id": "001000000000001AAA", "Name": "x"})
    await _gap_read(besieged, b"[" + b",".join([record] * many(size, 100_000)) + b"]")


@shape("rest: a million nulls for one record")
async def _(besieged: Besieged, size: float) -> None:
    await _gap_read(besieged, b"[" + b",".join([b"null"] * many(size, 3_000_000)) + b"]")


@shape("rest: a record with a text of 60 MB")
async def _(besieged: Besieged, size: float) -> None:
    record = {"attributes": {"type": "Account"}, "Id": besieged.account, "Name": "x" * many(size, 60 * MB)}
    await _gap_read(besieged, orjson.dumps([record]))


@shape("rest: 2 MB of brackets")
async def _(besieged: Besieged, size: float) -> None:
    await _gap_read(besieged, b"[" * many(size, 2 * MB))


@shape("rest: a gzip bomb")
async def _(besieged: Besieged, size: float) -> None:
    await _gap_read(besieged, gzipped(b"[0]," * 250_000, many(size, 400)), headers=GZIP)


@shape("rest: a slow drip")
async def _(besieged: Besieged, size: float) -> None:
    await _gap_read(besieged, b"[null" + b" " * many(size, 1000) + b"]", drips=True)


async def _snapshot(besieged: Besieged, *answers: HostileAnswer) -> None:
    for each in answers[:-1]:
        besieged.org.answers.append(each)
    order = partial(besieged.ask, "admin", "POST", "snapshots", json={"entity": "Contact", "by": "fuzz"})
    tasks: list[asyncio.Task[int]] = []
    await besieged.org_answers(answers[-1], then=lambda: tasks.append(asyncio.create_task(order())))
    await asyncio.gather(*tasks)


@shape("rest: a description of 100,000 fields")
async def _(besieged: Besieged, size: float) -> None:
    fields = [{"name": f"F{number}__c", "type": "string"} for number in range(many(size, 100_000))]
    body = orjson.dumps({"name": "Contact", "fields": [{"name": "Id", "type": "id"}, *fields]})
    await _snapshot(besieged, HostileAnswer(to="sobjects/Contact/describe", body=lambda _: body))


@shape("rest: a page of 100,000 records")
async def _(besieged: Besieged, size: float) -> None:
    rows = [
        {"attributes": {"type": "Contact"}, "Id": f"003{number:012d}AAA", "LastName": "x"}
        for number in range(many(size, 100_000))
    ]
    body = orjson.dumps({"totalSize": 3, "done": True, "records": rows})
    count = orjson.dumps({"totalSize": 3, "done": True, "records": []})
    await _snapshot(
        besieged,
        HostileAnswer(to=r"(?i)GET .*/query.*count(\(|%28)", body=lambda _: count),
        HostileAnswer(to=r"GET .*/query.*LIMIT", body=lambda _: body),
    )


async def _bulk(besieged: Besieged, content: bytes, **headers: str) -> None:
    count = orjson.dumps({"totalSize": 1_000_000, "done": True, "records": []})
    told = {"Content-Type": "text/csv", "Sforce-NumberOfRecords": "3", "Sforce-Locator": "null", **headers}
    await _snapshot(
        besieged,
        HostileAnswer(to=r"(?i)GET .*/query.*count(\(|%28)", body=lambda _: count),
        HostileAnswer(to=r"GET .*/results", body=lambda _: content, headers=told),
    )


@shape("bulk: millions of lines")
async def _(besieged: Besieged, size: float) -> None:
    line = b'"003000000000001AAA","x"\n'
    await _bulk(besieged, b'"Id","LastName"\n' + line * many(size, 2_000_000))


@shape("bulk: a line of millions of cells")
async def _(besieged: Besieged, size: float) -> None:
    await _bulk(besieged, b'"Id","LastName"\n' + b'"x",' * many(size, 8_000_000))


@shape("bulk: a cell of 60 MB")
async def _(besieged: Besieged, size: float) -> None:
    await _bulk(besieged, b'"Id","LastName"\n"003000000000001AAA","' + b"x" * many(size, 60 * MB) + b'"\n')


@shape("bulk: a gzip bomb")
async def _(besieged: Besieged, size: float) -> None:
    await _bulk(besieged, gzipped(b'"x","y"\n' * 120_000, many(size, 400)), **GZIP)
