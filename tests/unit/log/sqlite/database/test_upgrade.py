"""A file of an older Streamer is upgraded and continues."""

import sqlite3
from collections.abc import Iterable
from contextlib import aclosing, closing
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from streamer.controls import (
    AuditRecord,
    ContinuityFilter,
    Control,
    ControlState,
    LetterFilter,
    Redrive,
    Switch,
)
from streamer.errors import LogUnavailable
from streamer.events import Forwarded, ParkedLane, Repair, Stage, SubscriberName
from streamer.log.records import (
    encode_audit,
    encode_checkpoint,
    encode_control,
    encode_dead_letter,
    encode_event,
    encode_receipt,
    encode_redrive,
    encode_setback,
)
from streamer.log.sqlite.rows.offsets import PARTITION
from tests.contracts.follower import coming_after, following
from tests.contracts.parking import KEY, TWICE, lane_of, letters, park
from tests.contracts.values import (
    CHANGES,
    a_checkpoint,
    a_dead_letter,
    a_hole,
    a_receipt,
    an_append,
    an_event,
    append_to,
)
from tests.unit.log.sqlite.conftest import LogFile

# As version 1 made its files; to be changed by nobody.
VERSION_1 = """
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  appended_at INTEGER NOT NULL,
  type TEXT NOT NULL,
  size INTEGER NOT NULL,
  body BLOB NOT NULL
);
CREATE TABLE checkpoints (channel TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE continuity (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE dead_letters (id TEXT PRIMARY KEY, failed_at REAL NOT NULL, body BLOB NOT NULL);
CREATE TABLE subscribers (
  name TEXT PRIMARY KEY,
  not_before TEXT NOT NULL,
  next_offset INTEGER NOT NULL,
  settled_above TEXT NOT NULL,
  absent_since REAL
) WITHOUT ROWID;
PRAGMA application_id = 1400140389;
PRAGMA user_version = 1;
COMMIT;
"""

# As version 2 changed them; to be changed by nobody.
VERSION_2 = """
BEGIN IMMEDIATE;
CREATE TABLE parked_events (
  subscriber TEXT NOT NULL,
  seq INTEGER NOT NULL,
  lane TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (subscriber, seq)
);
CREATE INDEX parked_in_lanes ON parked_events (subscriber, lane, seq);
CREATE TABLE parked_lanes (
  subscriber TEXT NOT NULL,
  lane TEXT NOT NULL,
  setback BLOB NOT NULL,
  PRIMARY KEY (subscriber, lane)
) WITHOUT ROWID;
CREATE TABLE receipts (seq INTEGER PRIMARY KEY, recorded_at INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE audit (seq INTEGER PRIMARY KEY, recorded_at INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE controls (subscriber TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE redrives (id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
ALTER TABLE subscribers ADD COLUMN settlements INTEGER NOT NULL DEFAULT 0;
DROP TABLE dead_letters;
CREATE TABLE dead_letters (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  failed_at REAL NOT NULL,
  body BLOB NOT NULL
);
PRAGMA user_version = 2;
COMMIT;
"""

# Holes as version 3 wrote them, and one that nobody can read; to be changed by nobody.
HOLES = [
    (
        b'{"v":1,"org":"00D000000000001EAA","path":"/data/ChangeEvents","cause":"gap_event","detail":"GAP_UPDATE",'
        b'"recorded_at":1735689600.0,"after":"17","verified_at":null,"repaired":false}'
    ),
    b'{"v":1,"detail":',
    (
        b'{"v":1,"org":"00D000000000001EAA","path":"/data/ChangeEvents","cause":"replay_id_refused","detail":"lost",'
        b'"recorded_at":1735689700.0,"after":null,"verified_at":1735680000.0,"repaired":true}'
    ),
]
TARGET = SubscriberName("target")
LETTERS = {5: a_dead_letter("b"), 9: a_dead_letter("12:target", stage=Stage.DISPATCH), 12: a_dead_letter("a")}
AUDIT = AuditRecord(at=1.0, what="subscriber.paused", by="operator", subscriber=TARGET)
PAUSED = Control(subscriber=TARGET, switch=Switch.PAUSED, by="operator", at=1.0)
REDRIVE = Redrive(id="r1", letters=LetterFilter(subscriber=TARGET), per_second=5.0, by="operator", at=1.0)


def write_events(connection: sqlite3.Connection, numbers: Iterable[int], now: int) -> None:
    """Append events of one key at the offsets `numbers`."""
    for n in numbers:
        body = encode_event(an_event(n, key=KEY))
        connection.execute(
            "INSERT INTO events (seq, appended_at, type, size, body) VALUES (?, ?, ?, ?, ?)",
            (n, now, an_event(n).type, len(body), body),
        )


def write_version_1(log_file: LogFile, *more: str) -> None:
    """Write a file of version 1 with three events; the target has settled the second."""
    log_file.settings.path.parent.mkdir()
    with closing(sqlite3.connect(log_file.settings.path, isolation_level=None)) as connection:
        connection.executescript(VERSION_1)
        write_events(connection, range(1, 4), int(log_file.clock.now()))
        for name in ("b", "a", "c"):
            letter = a_dead_letter(name)
            connection.execute(
                "INSERT INTO dead_letters VALUES (?, ?, ?)",
                (name, letter.failed_at, encode_dead_letter(letter).body),
            )
        connection.execute(
            "INSERT INTO checkpoints VALUES (?, ?)", (str(CHANGES), encode_checkpoint(a_checkpoint(3)))
        )
        connection.execute("INSERT INTO subscribers VALUES ('target', '', 1, '[2,2]', NULL)")
        for statement in more:
            connection.execute(statement)


def write_version_2(log_file: LogFile) -> None:
    """Write a file of version 2 whose first events are gone, with a row in every table.

    Of the events 11 to 16 the target has parked the first and the third; the
    second is a dead letter, and the last one is delivered.
    """
    now = int(log_file.clock.now())
    log_file.settings.path.parent.mkdir()
    with closing(sqlite3.connect(log_file.settings.path, isolation_level=None)) as connection:
        connection.executescript(VERSION_1 + VERSION_2)
        write_events(connection, range(11, 17), now)
        for n in (13, 11):
            body = encode_event(an_event(n, key=KEY))
            connection.execute("INSERT INTO parked_events VALUES ('target', ?, ?, ?)", (n, KEY, body))
        connection.execute("INSERT INTO parked_lanes VALUES ('target', ?, ?)", (KEY, encode_setback(TWICE)))
        for n, letter in LETTERS.items():
            row = n, letter.id, letter.failed_at, encode_dead_letter(letter).body
            connection.execute("INSERT INTO dead_letters VALUES (?, ?, ?, ?)", row)
        for table, body in (
            ("receipts", encode_receipt(a_receipt("9"))),
            ("receipts", encode_receipt(a_receipt("16"))),
            ("audit", encode_audit(AUDIT)),
        ):
            connection.execute(f"INSERT INTO {table} (recorded_at, body) VALUES (?, ?)", (now, body))  # noqa: S608 - tables of ours
        connection.execute("INSERT INTO controls VALUES ('target', ?)", (encode_control(PAUSED),))
        connection.execute("INSERT INTO redrives VALUES ('r1', ?)", (encode_redrive(REDRIVE),))
        for hole in HOLES:
            connection.execute("INSERT INTO continuity (body) VALUES (?)", (hole,))
        checkpoint = str(CHANGES), encode_checkpoint(a_checkpoint(3))
        connection.execute("INSERT INTO checkpoints VALUES (?, ?)", checkpoint)
        connection.execute("INSERT INTO subscribers VALUES ('target', '', 14, '[16,16]', NULL, 41)")


async def test_file_of_version_1_goes_on_where_it_was(log_file: LogFile) -> None:
    """Its events, checkpoints, dead letters and subscribers are all there, in their order."""
    write_version_1(log_file)
    with capture_logs() as logs:
        async with log_file.open() as log, following(log) as follower:
            assert await follower.read_until("3") == ["1", "3"]
            assert await log.checkpoint(CHANGES) == a_checkpoint(3)
            assert await letters(log.controls) == [a_dead_letter(name) for name in ("b", "a", "c")]

    assert [(line["event"], line["found"], line["version"]) for line in logs] == [("log.upgraded", 1, 8)]


async def test_file_of_version_1_learns_what_is_new(log_file: LogFile) -> None:
    """Parking works, and a replaced letter keeps its row, after a restart too."""
    write_version_1(log_file)
    async with log_file.open() as log, following(log) as follower:
        await follower.read_until("3")
        parked = follower.entries
        await park(follower, *parked)
        newer = replace(a_dead_letter("a", stage=Stage.DISPATCH), error="newer")
        await follower.settle(letters=[newer])
    async with log_file.open() as log, following(log) as follower:
        await follower.step()

        assert follower.lanes == lane_of(*parked)
        assert await letters(log.controls) == [a_dead_letter("b"), newer, a_dead_letter("c")]


async def test_upgrade_that_fails_leaves_the_file_as_it_was(log_file: LogFile) -> None:
    """A full disk during the upgrade costs nothing; the older Streamer can still open the file."""
    write_version_1(log_file, "CREATE TABLE redrives (in_the_way)")
    with pytest.raises(LogUnavailable, match="redrives already exists"):
        async with log_file.open():
            pass

    with closing(sqlite3.connect(log_file.settings.path)) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert connection.execute("PRAGMA user_version").fetchone()[0] == 1
        assert "receipts" not in tables
        assert connection.execute("SELECT count(*) FROM dead_letters").fetchone()[0] == 3


async def test_file_of_version_2_goes_on_where_it_was(log_file: LogFile) -> None:
    """Events, parked lanes, dead letters, controls and positions are all there, in their order."""
    write_version_2(log_file)
    with capture_logs() as logs:
        async with log_file.open() as log, following(log) as follower:
            assert await follower.read_until("15") == ["14", "15"]
            assert follower.lanes == [ParkedLane(lane=KEY, offsets=(11, 13), setback=TWICE)]
            recalled = await follower.feed.recall(PARTITION, [11, 12, 13])
            assert [entry.event for entry in recalled] == [an_event(11, key=KEY), an_event(13, key=KEY)]
            assert await log.checkpoint(CHANGES) == a_checkpoint(3)
            assert await letters(log.controls) == list(LETTERS.values())
            assert await log.controls.audit(last=10) == [AUDIT]
            async with aclosing(log.controls.switched()) as boards:
                assert await anext(boards) == ControlState(
                    controls={TARGET: PAUSED}, redrives={REDRIVE.id: REDRIVE}
                )

    assert [(line["event"], line["found"], line["version"]) for line in logs] == [("log.upgraded", 2, 8)]
    with closing(sqlite3.connect(log_file.settings.path)) as connection:
        for table, bodies in (
            ("receipts", [encode_receipt(a_receipt("9")), encode_receipt(a_receipt("16"))]),
            ("continuity", HOLES),
        ):
            rows = connection.execute(f"SELECT body FROM {table} ORDER BY seq").fetchall()  # noqa: S608 - tables of ours
            assert [row[0] for row in rows] == bodies


async def test_holes_of_version_2_are_listed_and_none_is_open(log_file: LogFile) -> None:
    """They get ids and states; new ones stand behind them, and the unreadable one is named."""
    write_version_2(log_file)
    hole = replace(a_hole(), state=Repair.OPEN)
    with capture_logs() as logs:
        async with log_file.open() as log:
            assert await log.open_holes(CHANGES) == []
            await append_to(log, replace(an_append(), continuity=[hole]))
            listed = await log.controls.continuity(ContinuityFilter(), last=10)

    found = [(record.id, record.state, record.recorded_at) for record in listed[:-1]]
    assert found == [
        ("former:1", Repair.NONE, 1735689600.0),
        ("former:3", Repair.FULL, 1735689700.0),
    ]
    assert listed[-1] == hole
    assert [line["place"] for line in logs if line["event"] == "record.set_aside"] == [
        "row 2 of the table continuity"
    ]


async def test_file_of_version_2_learns_to_forward(log_file: LogFile) -> None:
    """A settlement is not taken for one of those before, and what it forwards stands behind all events."""
    write_version_2(log_file)
    shipped = replace(an_event(14, key=KEY), receipts={"target": {"outcome": "delivered"}})
    async with log_file.open() as log, following(log) as follower, coming_after(log) as shipment:
        await follower.read_until("15")
        forwarded = Forwarded(to=SubscriberName("shipment"), event=shipped, at=1.0)
        await follower.settle(receipts=[a_receipt("14")], forwarded=[forwarded])
        await append_to(log, an_append(an_event(18, key=KEY)))
        assert await shipment.read_until("14") == ["14"]
        assert await follower.read_until("18") == ["14", "15", "18"]
        assert [entry.offset for entry in (*shipment.entries, *follower.entries[-1:])] == [17, 18]
    async with log_file.open() as log, following(log) as follower:
        assert await follower.read_until("18") == ["18"]
