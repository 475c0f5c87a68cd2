"""Records of an embedded log."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import yaml

from tests.schemas.checks import RECORDS, Checked


def checked_log(configuration: Path) -> Checked:
    """Check the log of a configuration, if it is embedded."""
    document = yaml.safe_load(configuration.read_text(encoding="utf-8"))
    log = document.get("log") or {} if isinstance(document, dict) else {}
    path = (log.get("sqlite") or {}).get("path")
    return checked_file(configuration.parent / path) if path else Checked()


def checked_file(path: Path) -> Checked:
    """Check the events and the records beside them in a file."""
    checked = checked_records(path)
    for body in _bodies(path, "events"):
        checked.event(body)
    return checked


def checked_records(path: Path) -> Checked:
    """Check the records beside events: a test can have invented the events."""
    checked = Checked()
    for topic, name in RECORDS.items():
        for body in _bodies(path, topic.replace("-", "_")):
            checked.record(name, body)
    return checked


def _bodies(path: Path, table: str) -> Iterator[Any]:
    if not path.exists():
        return
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        try:
            rows = connection.execute(f"SELECT body FROM {table}").fetchall()  # noqa: S608 - names of ours
        except sqlite3.DatabaseError:
            # Killed before the tables were made, or spoilt on purpose.
            return
    for (body,) in rows:
        yield orjson.loads(body)
