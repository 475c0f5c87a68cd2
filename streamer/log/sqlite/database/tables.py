"""Tables of a log file, by the version of Streamer that added them."""

APPLICATION_ID = 0x53747265  # "Stre"

# AUTOINCREMENT, so that no offset is used twice, even after retention emptied
# the table.
_EVENTS = f"""
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
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = 1;
COMMIT;
"""

# Parked events keep the offsets at which they were read, and a retry rewrites
# their lane's setback alone. A restart reads only the second index, so it reads
# no bodies.
#
# Dead letters get a number that is never used twice, so that they can be listed
# in pages while others come and go; the earlier key did not promise that.
_DELIVERY = """
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
ALTER TABLE dead_letters RENAME TO former_dead_letters;
CREATE TABLE dead_letters (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  failed_at REAL NOT NULL,
  body BLOB NOT NULL
);
INSERT INTO dead_letters SELECT rowid, id, failed_at, body FROM former_dead_letters;
DROP TABLE former_dead_letters;
PRAGMA user_version = 2;
COMMIT;
"""

# Forwarded events lie between the others, so that they share offsets, pages and
# retention. The column is the last one: it costs nothing where it is empty.
_FORWARDED = """
BEGIN IMMEDIATE;
ALTER TABLE events ADD COLUMN forwarded_to TEXT;
PRAGMA user_version = 3;
COMMIT;
"""

# A record keeps its row and the time at which it was recorded first, while its
# states replace each other. Those of the former format, which had no id and
# named no time beside their bodies, are all in a final state.
_CONTINUITY = """
BEGIN IMMEDIATE;
ALTER TABLE continuity RENAME TO former_continuity;
CREATE TABLE continuity (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  recorded_at REAL,
  is_open INTEGER NOT NULL,
  body BLOB NOT NULL
);
CREATE INDEX open_continuity ON continuity (seq) WHERE is_open;
INSERT INTO continuity SELECT seq, 'former:' || seq, NULL, 0, body FROM former_continuity;
DROP TABLE former_continuity;
PRAGMA user_version = 4;
COMMIT;
"""

_SNAPSHOTS = """
BEGIN IMMEDIATE;
CREATE TABLE snapshots (id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 5;
COMMIT;
"""

# A checkpoint of a former version has no time.
_POSITIONS = """
BEGIN IMMEDIATE;
CREATE TABLE positions (id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
ALTER TABLE checkpoints ADD COLUMN stored_at REAL;
PRAGMA user_version = 6;
COMMIT;
"""

# The head stands before the body, so that a list of heads reads no page of a
# large body. `letter_head` is a function of ours.
_LETTER_HEADS = """
BEGIN IMMEDIATE;
ALTER TABLE dead_letters RENAME TO former_dead_letters;
CREATE TABLE dead_letters (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  failed_at REAL NOT NULL,
  head BLOB NOT NULL,
  body BLOB NOT NULL
);
INSERT INTO dead_letters SELECT seq, id, failed_at, letter_head(body), body FROM former_dead_letters;
DROP TABLE former_dead_letters;
PRAGMA user_version = 7;
COMMIT;
"""

UPGRADES = (_EVENTS, _DELIVERY, _FORWARDED, _CONTINUITY, _SNAPSHOTS, _POSITIONS, _LETTER_HEADS)
"""Scripts that upgrade a file from version n to n + 1, each in a transaction of its own."""

VERSION = len(UPGRADES)
