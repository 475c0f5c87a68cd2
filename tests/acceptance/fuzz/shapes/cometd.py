"""Hostile answers of the Streaming API."""

from collections.abc import Callable
from typing import Any

import orjson

from tests.acceptance.fuzz.besieged import Besieged
from tests.acceptance.fuzz.hostile_org import gzipped
from tests.acceptance.fuzz.shapes.shape import GZIP, MB, many, shape
from tests.configuration import CHANGES


def _reply(asked: Any) -> bytes:
    """Return a successful reply to a connect."""
    [connect] = [each for each in asked if each["channel"] == "/meta/connect"]
    reply = {
        "channel": "/meta/connect",
        "successful": True,
        "id": connect["id"],
        "clientId": connect["clientId"],
    }
    return orjson.dumps(reply)


def _with(messages: bytes) -> Callable[[Any], bytes]:
    """Return an answer to a connect with `messages` before the reply."""
    return lambda asked: b"[" + messages + b"," + _reply(asked) + b"]"


def _event(**payload: Any) -> bytes:
    header = {
        "entityName": "Account",
        "recordIds": ["001000000000001AAA"],
        "changeType": "UPDATE",
        "changeOrigin": "",
        "transactionKey": "hostile",
        "sequenceNumber": 1,
        "commitTimestamp": 1795755881245,
        "commitNumber": 1,
        "commitUser": "005000000000001AAA",
        "changedFields": ["Name"],
    }
    data = {
        "schema": "s",
        "payload": {"ChangeEventHeader": header, **payload},
        "event": {"replayId": 5},
    }
    return orjson.dumps({"channel": CHANGES, "data": data})


@shape("cometd: millions of messages for no channel")
async def _(besieged: Besieged, size: float) -> None:
    await besieged.connect_answers(_with(b",".join([b'{"channel":"/x"}'] * many(size, 2_700_000))))


@shape("cometd: a million replies")
async def _(besieged: Besieged, size: float) -> None:
    reply = b'{"channel":"/meta/connect","successful":true}'
    await besieged.connect_answers(_with(b",".join([reply] * many(size, 1_000_000))))


@shape("cometd: half a million events without contents")
async def _(besieged: Besieged, size: float) -> None:
    event = b'{"channel":"%b","data":{}}' % CHANGES.encode()
    await besieged.connect_answers(_with(b",".join([event] * many(size, 500_000))))


@shape("cometd: an event of very many records")
async def _(besieged: Besieged, size: float) -> None:
    ids = [f"001{number:012d}AAA" for number in range(many(size, 500_000))]
    event = _event(Name="x").replace(b'["001000000000001AAA"]', orjson.dumps(ids))
    await besieged.connect_answers(_with(event))


@shape("cometd: an event of very many fields")
async def _(besieged: Besieged, size: float) -> None:
    fields = {f"F{number}__c": "x" for number in range(many(size, 500_000))}
    await besieged.connect_answers(_with(_event(**fields)))


@shape("cometd: 2 MB of brackets")
async def _(besieged: Besieged, size: float) -> None:
    await besieged.connect_answers(lambda _: b"[" * many(size, 2 * MB))


@shape("cometd: brackets within an event")
async def _(besieged: Besieged, size: float) -> None:
    depth = many(size, MB)
    await besieged.connect_answers(_with(_event(Name="@").replace(b'"@"', b"[" * depth + b"]" * depth)))


@shape("cometd: objects within objects, never closed")
async def _(besieged: Besieged, size: float) -> None:
    await besieged.connect_answers(_with(_event(Name="@").replace(b'"@"', b'{"a":' * many(size, 400_000))))


@shape("cometd: a text of 60 MB")
async def _(besieged: Besieged, size: float) -> None:
    await besieged.connect_answers(_with(_event(Name="x" * many(size, 60 * MB))))


@shape("cometd: a text of 30 MB, a few kB as gzip")
async def _(besieged: Besieged, size: float) -> None:
    content = _event(Name="x" * many(size, 30 * MB))
    await besieged.connect_answers(lambda asked: gzipped(_with(content)(asked)), headers=GZIP)


@shape("cometd: escapes of 16 MB")
async def _(besieged: Besieged, size: float) -> None:
    text = b'"' + rb"\u00e9" * many(size, 2_700_000) + b'"'
    await besieged.connect_answers(_with(_event(Name="@").replace(b'"@"', text)))


@shape("cometd: a number of 10 MB")
async def _(besieged: Besieged, size: float) -> None:
    event = _event(Amount="@").replace(b'"@"', b"9" * many(size, 10 * MB))
    await besieged.connect_answers(_with(event))


@shape("cometd: many exponents")
async def _(besieged: Besieged, size: float) -> None:
    numbers = b"[" + b",".join([b"1e999999999"] * many(size, 500_000)) + b"]"
    await besieged.connect_answers(_with(_event(Amount="@").replace(b'"@"', numbers)))


@shape("cometd: a gzip bomb of spaces")
async def _(besieged: Besieged, size: float) -> None:
    bomb = gzipped(b" " * MB, many(size, 500))
    await besieged.connect_answers(lambda _: bomb, headers=GZIP)


@shape("cometd: a gzip bomb of messages")
async def _(besieged: Besieged, size: float) -> None:
    bomb = gzipped(b'{"channel":"/x"},' * 60_000, many(size, 300))
    await besieged.connect_answers(lambda _: bomb, headers=GZIP)


@shape("cometd: a slow drip")
async def _(besieged: Besieged, size: float) -> None:
    await besieged.connect_answers(_with(_event(Name="x" * many(size, 1000))), drips=True)
