"""Conversion of Change Data Capture messages, in the form of CometD, to events.

The Change Data Capture Developer Guide describes the form. An event has a
ChangeEventHeader. The body of an update has only the changed fields, and a cleared
field has the value null.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from streamer.events import Channel, Event, EventId, JsonObject, Unreadable, json_copy
from streamer.exact_json import raw_json
from streamer.normalise.malformed import from_epoch_ms, replay_id_of, unreadable

LONGEST_TEXT = 262_144
"""Largest length of a processed text or diff in characters; twice Salesforce's longest text area."""

_HASH = re.compile(r"\+\+\+ ([0-9a-fA-F]{64})\s*", re.ASCII)
_HUNK = re.compile(r"@@ -(\d{1,9})(,\d{1,9})? \+\d{1,9}(,\d{1,9})? @@.*", re.ASCII)
_NEWLINE = re.compile(r"(\r\n|\r|\n)")
_NEWLINE_OF_LF = re.compile(r"(\r?\n)")
_CONTEXT, _REMOVED, _ADDED, _NOTE = " ", "-", "+", "\\"
_MARKS = (_CONTEXT, _REMOVED, _ADDED, _NOTE, "")

Line = tuple[str, str]
"""Text and newline of a line; the newline is empty for the last line and for a line that a diff adds."""


def is_diff(value: JsonObject) -> bool:
    """Return whether a field's value, an object, represents the diff of a text."""
    return len(value) == 1 and type(value.get("diff")) is str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hunk:
    """Lines with their marks; `at` is the line number in the former value from the header, from 1."""

    at: int
    lines: Sequence[str]

    @property
    def only_adds(self) -> bool:
        """True if no line of the hunk comes from the former value."""
        return all(line[:1] in (_ADDED, _NOTE) for line in self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDiff:
    """Diff of one text: the changes from the former value, and the SHA-256 of the new value."""

    sha256: str
    hunks: Sequence[_Hunk]

    @classmethod
    def parse(cls, text: str) -> "TextDiff | None":
        """Return the diff in `text`, or `None` if `text` has no diff or is too long.

        The counts in a hunk's header are not used: the marks of the lines imply
        the counts.
        """
        if len(text) > LONGEST_TEXT:
            return None
        lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
        stated = _HASH.fullmatch(lines[1]) if len(lines) > 1 and lines[0].startswith("---") else None
        hunks = _hunks(lines[2:])
        if stated is None or hunks is None:
            return None
        return cls(sha256=stated[1].lower(), hunks=hunks)

    def leads_to(self, value: str) -> bool:
        """Return whether `value` has the hash of the new value."""
        # JSON can contain a lone surrogate, which UTF-8 can't encode otherwise.
        return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest() == self.sha256

    def applied_to(self, former: str) -> str | None:
        """Return the new value, verified by its hash, or `None` if `former` is not the former value.

        If `former` is already the new value, `former` is returned. The time is
        linear in the length of both texts.
        """
        if len(former) > LONGEST_TEXT:
            return None
        if self.leads_to(former):
            return former
        for candidate in self._candidates(former):
            if self.leads_to(candidate):
                return candidate
        return None

    def _candidates(self, former: str) -> Iterator[str]:
        """Yield the new values for the possible interpretations of the diff, likely ones first."""
        only_add = any(hunk.only_adds for hunk in self.hunks)
        for lines in _splits(former):
            for inserts_before in (0, 1) if only_add else (0,):
                patched = self._patched(lines, inserts_before)
                if patched is not None:
                    yield from _joined(patched, usual=lines[0][1] or "\n")

    def _patched(self, lines: Sequence[Line], inserts_before: int) -> list[Line] | None:
        """Return the new lines, or `None` if a line of the diff does not match the former value.

        For the position of an insertion, diff(1) gives the line before it (0), and
        Java's libraries give the line after it (1).
        """
        patched: list[Line] = []
        done = 0
        for hunk in self.hunks:
            begin = max(0, hunk.at - (inserts_before if hunk.only_adds else 1))
            if not done <= begin <= len(lines):
                return None
            patched += lines[done:begin]
            done = begin
            for line in hunk.lines:
                mark, text = line[:1] or _CONTEXT, line[1:]
                if mark == _NOTE:
                    continue
                if mark == _ADDED:
                    patched.append((text, ""))
                    continue
                if done == len(lines) or lines[done][0] != text:
                    return None
                if mark == _CONTEXT:
                    patched.append(lines[done])
                done += 1
        return patched + list(lines[done:])


def _hunks(lines: Sequence[str]) -> Sequence[_Hunk] | None:
    """Return the hunks in `lines`, or `None` if `lines` contain anything else."""
    hunks: list[tuple[int, list[str]]] = []
    for line in lines:
        if line.startswith("@@"):
            header = _HUNK.fullmatch(line)
            if header is None:
                return None
            hunks.append((int(header[1]), []))
        elif hunks and line[:1] in _MARKS:
            hunks[-1][1].append(line)
        else:
            return None
    return [_Hunk(at=at, lines=of_hunk) for at, of_hunk in hunks]


def _splits(text: str) -> Iterator[Sequence[Line]]:
    """Yield `text` as lines: first with a lone carriage return as a newline, then as a plain character."""
    yield _lines(_NEWLINE, text)
    if "\r" in text.replace("\r\n", ""):
        yield _lines(_NEWLINE_OF_LF, text)


def _lines(newline: re.Pattern[str], text: str) -> Sequence[Line]:
    parts = newline.split(text)
    return list(zip(parts[::2], [*parts[1::2], ""], strict=True))


def _joined(lines: Sequence[Line], *, usual: str) -> Iterator[str]:
    """Yield the text of `lines` with their own newlines or `usual`, then with one kind of newline.

    An edit in a browser can have changed all newlines, and a diff of lines does
    not show such a change.
    """
    if not lines:
        yield ""
        return
    yield "".join(text + (end or usual) for text, end in lines[:-1]) + lines[-1][0]
    texts = [text for text, _ in lines]
    for newline in ("\r\n", "\n", "\r"):
        yield newline.join(texts)


_HEADER = "ChangeEventHeader"
_KIND = {
    "CREATE": "created",
    "UPDATE": "updated",
    "DELETE": "deleted",
    "UNDELETE": "undeleted",
    "GAP_CREATE": "gap",
    "GAP_UPDATE": "gap",
    "GAP_DELETE": "gap",
    "GAP_UNDELETE": "gap",
    "GAP_OVERFLOW": "gap",
    "SNAPSHOT": "snapshot",
}
# If a change has more records than this, its size is checked, so that a message of a megabyte never
# becomes hundreds of thousands of events, or gigabytes of events. Salesforce's largest event, 1 MB,
# has no room for more ids than the limit.
_MANY = 50
_MOST_RECORDS = 60_000
_SHORTEST_ID = 15
# Thousands of ids and names are kept as keys of lanes and caches, so they must be short.
_LONGEST_NAME = 255
_MOST_BYTES = 100_000_000


class ChangeNormaliser:
    """Turns each change message of one channel into one event per record, in the header's order.

    An update of "all records of a type" (record id `001*`, sent when a field's
    type is converted) is a gap, because it does not contain the changes. If an
    event has large texts as diffs, `diff_fields` names their fields.
    """

    def __init__(self, channel: Channel) -> None:
        self._path = channel.path
        self._source = f"/salesforce/{channel.org}"

    def __call__(self, messages: Sequence[Any]) -> list[Event | Unreadable]:
        """Return the events of `messages` in order; a message that is not a change event is `Unreadable`."""
        read: list[Event | Unreadable] = []
        # This loop handles every event of a backlog, so it makes few calls per message.
        for message in messages:
            try:
                data = message["data"]
                payload = data["payload"]
                header = payload[_HEADER]
                key, sequence = _identified(header["transactionKey"], header["sequenceNumber"])
                record_ids = _texts(header["recordIds"], payload)
                entity, change = header["entityName"], header["changeType"]
                event_type = _event_type(entity, change, record_ids[0][-1] == "*")
                time = from_epoch_ms(header["commitTimestamp"])
                replay_id = replay_id_of(data["event"])
                # Copying all fields and deleting the header is faster than copying field by field.
                fields = payload.copy()
                del fields[_HEADER]
                nulled, diffs = _nulled_and_diffs(fields)
                changed, transaction = header.get("changedFields") or [], _transaction(key, sequence, header)
            except Exception as error:  # noqa: BLE001 - a bad message must not affect the other messages
                read.append(unreadable(message, "a change event", error))
                continue
            body: JsonObject = {
                "record_id": record_ids[0],
                "entity": entity,
                "change": change,
                "fields": fields,
                "changed_fields": changed,
                "nulled_fields": nulled,
                "transaction": transaction,
            }
            if diffs:
                body["diff_fields"] = diffs
            for record_id, data in zip(record_ids, _bodies(body, record_ids), strict=True):
                read.append(
                    Event(
                        id=EventId(f"{key}:{sequence}:{record_id}"),
                        source=self._source,
                        type=event_type,
                        subject=record_id,
                        time=time,
                        key=record_id,
                        channel=self._path,
                        replay_id=replay_id,
                        data=data,
                    )
                )
        return read


def _bodies(body: JsonObject, record_ids: Sequence[str]) -> Sequence[JsonObject]:
    """Return the data of each event of a message; `body` is the data for the first record."""
    if len(record_ids) == 1:
        return (body,)
    return [body, *({**json_copy(body), "record_id": record_id} for record_id in record_ids[1:])]


def _transaction(key: str, sequence: int, header: JsonObject) -> JsonObject:
    return {
        "key": key,
        "sequence": sequence,
        "commit_number": header.get("commitNumber"),
        "user": header.get("commitUser"),
        "origin": header.get("changeOrigin"),
    }


def _identified(key: Any, sequence: Any) -> tuple[str, int]:
    # Event ids contain both values, so a value of another type must not be converted.
    if type(key) is not str or type(sequence) is not int:
        raise ValueError("transactionKey or sequenceNumber has a wrong type")
    if len(key) > _LONGEST_NAME:
        raise ValueError(f"transactionKey has {len(key)} characters")
    return key, sequence


def _texts(values: Any, payload: JsonObject) -> list[str]:
    if type(values) is not list or not values:
        raise ValueError("recordIds is not a list of record ids")
    for value in values:
        if type(value) is not str or not value:
            raise ValueError("recordIds contains a value that is not a record id")
    if len(values) > 1 or len(values[0]) > _LONGEST_NAME:
        _check_lengths(values)
        if len(values) > _MANY:
            _check_many(values, payload)
    return values


def _check_lengths(record_ids: Sequence[str]) -> None:
    if max(map(len, record_ids)) > _LONGEST_NAME:
        raise ValueError(f"recordIds contains an id of more than {_LONGEST_NAME} characters")


def _check_many(record_ids: list[str], payload: JsonObject) -> None:
    """Raise `ValueError` if the events for all these records together would be too large."""
    if len(record_ids) > _MOST_RECORDS:
        raise ValueError(f"the message has {len(record_ids)} recordIds, but the limit is {_MOST_RECORDS}")
    if any(len(each) < _SHORTEST_ID for each in record_ids):
        raise ValueError("recordIds contains a value that is not a record id")
    shared = len(raw_json(payload)) - len(raw_json(record_ids))
    if shared * len(record_ids) > _MOST_BYTES:
        raise ValueError(
            f"the events of the {len(record_ids)} records have more than {_MOST_BYTES} bytes together"
        )


@lru_cache(maxsize=4096)
def _event_type(entity: str, change: str, entity_wide: bool) -> str:  # noqa: FBT001 - keyword arguments slow the cache down
    if len(entity) > _LONGEST_NAME or not entity.isidentifier():
        raise ValueError("entityName is not the API name of an object")
    if change not in _KIND:
        raise ValueError(f"unknown changeType {change[:40]!r}")
    return f"salesforce.cdc.{entity}.{'gap' if entity_wide else _KIND[change]}"


def _nulled_and_diffs(fields: JsonObject) -> tuple[list[str], Sequence[str]]:
    """Return the names of the cleared fields, and of the fields whose value is a diff."""
    for value in fields.values():
        if value is None or type(value) is dict:
            break
    else:
        return [], ()
    nulled: list[str] = []
    diffs: list[str] = []
    for name, value in fields.items():
        if value is None:
            nulled.append(name)
        elif type(value) is dict:
            if is_diff(value):
                diffs.append(name)
                continue
            for part, inner in value.items():
                if inner is None:
                    nulled.append(f"{name}.{part}")
                elif type(inner) is dict and is_diff(inner):
                    diffs.append(f"{name}.{part}")
    return nulled, diffs
