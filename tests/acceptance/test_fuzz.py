"""No bytes from outside end the daemon, stop it, or reveal a secret.

`make test` draws 2,000 cases, and `make fuzz` as many as `CASES` says.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from streamer.app.plan import plan
from streamer.clock import SystemClock, TurnedClock
from streamer.configuration import load_document
from streamer.errors import ConfigurationError, LogMisconfigured, StreamerError
from streamer.events import Channel, Event, OrgId
from streamer.exact_json import raw_json
from streamer.log import records
from streamer.log.kafka.records.dead_letters import chunk_count as letter_chunks
from streamer.log.kafka.records.dead_letters import letter_chunk
from streamer.log.kafka.records.parked import ParkedRecordKey, chunk_count
from streamer.normalise import normaliser_for
from streamer.protection import ProtectedEvents, Rules
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.cometd.answer import BayeuxResponse
from streamer.salesforce.cometd.protocol import Oversized, TornBody
from streamer.settings import OrgSettings, ProtectionSettings, ProtectRule
from streamer.testing import Reply, ScriptedTarget
from tests.acceptance.fuzz.cases import share
from tests.acceptance.fuzz.grammar import (
    CANARY,
    PROTECTED,
    change,
    encoded,
    gap,
    mutated,
    note,
    odd,
    order,
    rules,
    torn,
)
from tests.acceptance.fuzz.patient import MOST_MB, STANDSTILL_S, Patient
from tests.configuration import CHANGES, ORDERS, sandbox_configuration

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(0)]

NOTES = "/u/Notes"
PROTECTION = ProtectionSettings.model_validate({"key": "an-invented-key-of-32-characters"})


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    """One daemon for all cases, which is examined in the end."""
    with Patient.treated(tmp_path_factory.mktemp("fuzz")) as patient:
        yield patient
        assert patient.daemon.runs, patient.output[-3_000:]
        assert patient.peak_mb < MOST_MB
        assert patient.longest_pulse_s < STANDSTILL_S
        assert patient.tracebacks == []
        assert CANARY not in patient.output
        assert CANARY not in patient.call(patient.daemon.metrics_page())
        assert patient.asked(patient.ports[1], "subscribers") == 200
    assert patient.has_pulse


@st.composite
def messages(draw: st.DrawFn, document: Callable[[], Any]) -> bytes:
    """Draw the data of an event, with places for its replay id and its mark."""
    sound = document()
    event = {"event": draw(mutated(sound.pop("event", {})))}
    head = draw(st.just(b"") | st.just(b" ")) + encoded(draw(mutated(sound)))[:-1]
    if draw(st.integers(0, 4)) == 0:
        head = draw(torn(head))
    tail = encoded(event)[1:-2]
    comma = b"" if tail.endswith(b"{") else b","
    return head + b"," + tail + comma + b'"replayId":%d},"mark":"%mark"}'


@share(12)
@given(drawn=st.lists(messages(change), min_size=1, max_size=5))
def test_change_event_is_an_event_or_a_dead_letter(patient: Patient, drawn: list[bytes]) -> None:
    """Whatever its parts are."""
    assert patient.publish(CHANGES, drawn) == []


@share(4)
@given(drawn=st.lists(messages(gap), min_size=1, max_size=3))
def test_gap_event_is_repaired_or_a_dead_letter(patient: Patient, drawn: list[bytes]) -> None:
    """This holds for any record that it names, and the stream continues after it."""
    assert patient.publish(CHANGES, drawn) == []


@share(11)
@given(drawn=st.lists(messages(order), min_size=1, max_size=5))
def test_platform_event_is_an_event_or_a_dead_letter(patient: Patient, drawn: list[bytes]) -> None:
    """Whatever its parts are."""
    assert patient.publish(ORDERS, drawn) == []


@st.composite
def protected(draw: st.DrawFn) -> tuple[str, Any]:
    """Draw a channel's path, and the data of a message with a field that is protected."""
    path, document = draw(st.sampled_from([(CHANGES, change), (ORDERS, order), (NOTES, note)]))
    sound = document()
    if path == NOTES:
        payload = encoded(draw(mutated({"Secret__c": PROTECTED, **sound})))
        return path, {
            "event": {"createdDate": "2026-11-27T05:04:41.245Z"},
            "payload": payload.decode("utf-8", "replace"),
        }
    sound["payload"]["Secret__c"] = PROTECTED
    return path, draw(mutated(sound))


@share(6)
@given(drawn=protected(), rules=rules())
def test_protected_field_is_stored_nowhere(drawn: tuple[str, Any], rules: Any) -> None:
    """Whatever else is wrong with its event, and whatever other rules there are."""
    path, document = drawn
    try:
        data = orjson.loads(encoded(document))
        data["event"]["replayId"] = 7
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return
    read = normaliser_for(Channel(org=OrgId("00DSb0000000001MAA"), path=path))
    events = [each for each in read([{"channel": path, "data": data}]) if isinstance(each, Event)]
    compiled = Rules(map(ProtectRule.model_validate, rules), PROTECTION)
    for stored in ProtectedEvents(compiled).of(events):
        shown = raw_json([stored.key, stored.data]) if isinstance(stored, Event) else str(stored).encode()
        assert PROTECTED.encode() not in shown


HEADS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 201\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\n",
        b"HTTP/1.1 400 Bad\r\n",
        b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\n",
        b"HTTP/1.1 429 Slowly\r\nRetry-After: 99999999999999999999\r\n",
        b"HTTP/1.1 503 Away\r\nRetry-After: yesterday\r\n",
        b"HTTP/1.1 999 What\r\n",
        b"HTTP/0.9 200 OK\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"",
    ]
)
FIELDS = st.sampled_from(
    [
        b"Content-Type: application/json\r\n",
        b"Content-Type: text/html; charset=klingon\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Set-Cookie: a=b; Domain=com\r\n",
        b"X: " + b"y" * 9_000 + b"\r\n",
        b"Content-Length: -1\r\n",
        b"\x00: \xff\r\n",
        f"X-Api-Key: {CANARY}\r\n".encode(),
    ]
)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Draw what a target answers."""
    body = encoded(draw(odd) if draw(st.booleans()) else {"error": draw(odd), "key": CANARY})
    length = b"Content-Length: %d\r\n" % len(body)
    fields = b"".join(draw(st.lists(FIELDS, max_size=3)))
    whole = draw(HEADS) + length + fields + b"Connection: close\r\n\r\n" + body
    return draw(torn(whole)) if draw(st.booleans()) else whole


@share(6)
@given(drawn=st.lists(answers(), min_size=1, max_size=5))
def test_answer_of_a_target_has_an_outcome(patient: Patient, drawn: list[bytes]) -> None:
    """Every order is tried, and the next one after it."""
    patient.answer_with(drawn)


PATHS = [
    "healthz", "readyz", "metrics", "subscribers", "parked", "dead-letters", "redrives", "audit",
    "subscribers/erp/test", "subscribers/erp/probe", "dead-letters/redrive", "%00", "..%2f..", "a" * 9_000,
    "console", "console/sign-in", "console/dead-letters", "console/continuity", "console/static/x",
    "console/subscribers/erp/test", "console/dead-letters/letter", "console/snapshots/%ff/pause",
]  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Draw a request to one of the daemon's ports, sound or not, that pauses no subscriber."""
    method = draw(st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "\x00"]))
    path = draw(st.sampled_from(PATHS)) + draw(
        st.sampled_from(["", "?first=-1", "?key=%ff", "?" + "&" * 500])
    )
    body = encoded(draw(odd))
    head = f"{method} /{path} HTTP/1.1\r\nHost: {draw(st.sampled_from(['localhost', 'x', '']))}\r\n"
    whole = head.encode() + draw(FIELDS) + b"Content-Length: %d\r\n\r\n" % len(body) + body
    return draw(torn(whole)) if draw(st.booleans()) else whole


@share(12)
@given(port=st.integers(0, 1), request=requests())
def test_request_leaves_the_ports_open(patient: Patient, port: int, request: bytes) -> None:
    """The probes answer all the time."""
    patient.send(patient.ports[port], request)


REPLY = [{"channel": "/meta/connect", "successful": True, "clientId": "c1", "id": "7"}]


@st.composite
def whole_answers(draw: st.DrawFn) -> bytes:
    """Draw an answer of the Streaming API."""
    events = [{"channel": CHANGES, "data": change()} for _ in range(draw(st.integers(0, 3)))]
    content = encoded(draw(mutated([*REPLY, *events])))
    return draw(torn(content)) if draw(st.booleans()) else content


@share(12)
@given(body=whole_answers())
def test_answer_of_salesforce_is_sorted_or_refused(body: bytes) -> None:
    """By an error that the session expects."""
    try:
        answer = BayeuxResponse.beginning(200, body)
        while answer.rest is not None:
            answer = answer.following()
    except (TornBody, Oversized):
        return
    assert all(isinstance(path, str) for path in [*answer.replies, *answer.events])


TOKEN = {
    "access_token": "00D!token",
    "instance_url": "http://localhost:1",
    "id": "http://localhost/id/00DSb0000000001MAA/005Sb0000000001IAA",
    "token_type": "Bearer",
    "error": "invalid_grant",
    "error_description": f"no such secret: {CANARY}",
}


@share(5)
@given(answer=mutated(TOKEN), status=st.sampled_from([200, 200, 200, 400, 401, 500]), data=st.data())
def test_token_answer_is_a_token_or_a_refusal(answer: Any, status: int, data: st.DataObject) -> None:
    """Without the secret, which the answer repeats."""
    body = encoded(answer)
    if data.draw(st.booleans()):
        body = data.draw(torn(body))
    asyncio.run(_log_in(Reply(status=status, body=body)))


async def _log_in(reply: Reply) -> None:
    async with ScriptedTarget(reply) as server, aiohttp.ClientSession() as http:
        org = OrgSettings.model_validate(
            {
                "login_url": server.url,
                "allow_http": True,
                "auth": {"flow": "client_credentials", "client_id": "app", "client_secret": CANARY},
            }
        )
        said = ""
        try:
            # A token may be any text, and is never said.
            await Tokens(http, org, SystemClock()).token()
        except StreamerError as error:
            said = str(error)
    assert CANARY not in said


HOLE = {
    "v": 1,
    "id": "h",
    "org": "00DSb0000000001MAA",
    "path": CHANGES,
    "cause": "overflow",
    "state": "open",
    "detail": "d",
    "recorded_at": 1.0,
    "after": "7",
    "verified_at": 1.0,
    "until": 2.0,
    "progress": {"parts": None},
    "updated_at": 3.0,
}
RECORDS: list[tuple[Callable[[bytes], object], Any]] = [
    (records.decode_control, {"v": 1, "subscriber": "erp", "switch": "paused", "by": "a", "at": 1.0}),
    (
        records.decode_redrive,
        {"v": 1, "id": "r", "letters": {"subscriber": "erp"}, "per_second": 1, "by": "a", "at": 1.0},
    ),
    (records.decode_checkpoint, {"v": 1, "replay_id": "7", "at": 1.0, "open": [], "event_ids": []}),
    (records.decode_audit, {"v": 1, "at": 1.0, "what": "w", "by": "a", "subscriber": None, "detail": {}}),
    (records.decode_receipt, {"v": 1, "event_id": "e", "subscriber": "erp", "attempts": 1, "seconds": 0.1}),
    (records.decode_setback, {"v": 1, "attempts": 1, "first_failed_at": 1.0, "due_at": 2.0}),
    (records.decode_dead_letter, {"v": 1, "id": "e:erp", "stage": "dispatch", "raw": "AAA=", "event": None}),
    (records.decode_continuity, HOLE),
    (records.decode_event, {"v": 1, "id": "e", "type": "t", "source": "s", "key": "k", "data": {}}),
]


@share(9)
@given(which=st.sampled_from(RECORDS), data=st.data())
def test_internal_record_is_read_or_refused(which: tuple[Callable[[bytes], object], Any], data: Any) -> None:
    """By the one error that its readers expect."""
    decode, document = which
    content = encoded(data.draw(mutated(document)))
    if data.draw(st.booleans()):
        content = data.draw(torn(content))
    try:
        decode(content)
    except LogMisconfigured:
        return


@share(5)
@given(key=st.binary(max_size=20) | odd.map(encoded), parts=st.binary(max_size=12) | st.just(b"200000000"))
def test_key_and_headers_of_a_record_are_read_or_refused(key: bytes, parts: bytes) -> None:
    """They take no memory that they only claim to need."""
    for read in (
        lambda: ParkedRecordKey.decode(key),
        lambda: letter_chunk(key),
        lambda: chunk_count([("parts", parts)]),
        lambda: letter_chunks([("parts", parts)]),
    ):
        try:
            read()
        except (ValueError, LookupError, TypeError):
            continue


SUBSCRIBER = {
    "uses": "erp",
    "on": "salesforce.event.*",
    "body": {"order": "data.fields.Order_No__c"},
    "text": "{{ subject }}",
    "settings": {"url": "https://erp.example/api", "auth": {"kind": "api_key", "key": CANARY}},
}


@share(4)
@given(data=st.data())
def test_configuration_is_good_or_refused(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """By sentences that show no secret."""
    sound = sandbox_configuration(
        "https://acme.my.salesforce.com", log={"sqlite": {"path": "log.db"}}, subscribers={"erp": SUBSCRIBER}
    )
    content = yaml.safe_dump(json.loads(orjson.dumps(sound))).encode()
    variant = data.draw(mutated(sound))
    content = data.draw(torn(content)) if data.draw(st.booleans()) else encoded(variant)
    path = Path(tmp_path_factory.getbasetemp()) / "fuzzed.yaml"
    path.write_bytes(content)
    said = ""
    try:
        plan(load_document([path]), TurnedClock())
    except ConfigurationError as error:
        said = str(error)
    assert CANARY not in said
