"""The consumers of docs/consumers.md read an org's accounts from the topics that a daemon wrote."""

import asyncio
import re
import sqlite3
import subprocess
import sys
from collections import defaultdict
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.integration.kafka.written_org import WrittenOrg, write_org
from tests.integration.snippets.blocks import ROOT, blocks_of
from tests.waiting import block_until
from tools.consumers.java_project import JAVA, flink_rows

pytestmark = pytest.mark.heavy

PROGRAMS = {
    named[1]: block.text
    for block in blocks_of(ROOT / "docs/consumers.md")
    if (named := re.match(r"`(\w+\.\w+)`", block.before))
}
"""The blocks of the page after paragraphs that begin with the name of a file, by this name."""


@pytest.fixture(scope="module")
def json_org(kafka: str, registry_url: str, tmp_path_factory: pytest.TempPathFactory) -> WrittenOrg:
    """An org in topics in JSON."""
    return asyncio.run(write_org(kafka, registry_url, "json", tmp_path_factory.mktemp("json")))


@pytest.fixture(scope="module")
def avro_org(kafka: str, registry_url: str, tmp_path_factory: pytest.TempPathFactory) -> WrittenOrg:
    """An org in topics in Avro."""
    return asyncio.run(write_org(kafka, registry_url, "avro", tmp_path_factory.mktemp("avro")))


def test_python_keeps_a_table_of_states_in_json(json_org: WrittenOrg, tmp_path: Path) -> None:
    """The table in SQLite becomes the org's accounts."""
    keep_table(json_org, "accounts_json.py", tmp_path)

    assert rows(tmp_path) == json_org.table


def test_python_keeps_a_table_of_states_in_avro(avro_org: WrittenOrg, tmp_path: Path) -> None:
    """Confluent's deserialiser reads the schemas from the registry."""
    keep_table(avro_org, "accounts_avro.py", tmp_path)

    assert rows(tmp_path) == avro_org.table


def test_java_prints_a_table_of_states_in_json(json_org: WrittenOrg, tmp_path: Path) -> None:
    """Apache's own client reads the topic to its end."""
    assert printed(json_org, "AccountsJson.java", tmp_path) == as_printed(json_org)


def test_java_prints_a_table_of_states_in_avro(avro_org: WrittenOrg, tmp_path: Path) -> None:
    """The program reads the five bytes before each datum itself."""
    assert printed(avro_org, "AccountsAvro.java", tmp_path) == as_printed(avro_org)


def test_flink_reads_a_table_of_states_in_json(json_org: WrittenOrg) -> None:
    """The connector upsert-kafka deletes rows at tombstones."""
    assert selected(json_org, "accounts_json.sql") == with_times(json_org)


def test_flink_reads_a_table_of_states_in_avro(avro_org: WrittenOrg) -> None:
    """The declared columns are a part of the registered schema."""
    assert selected(avro_org, "accounts_avro.sql") == with_times(avro_org)


@pytest.mark.parametrize("envelope", ["flat", "debezium"])
def test_flink_reads_states_in_other_envelopes(
    kafka: str, registry_url: str, tmp_path: Path, envelope: str
) -> None:
    """Each field is a column; Flink's own format for Debezium takes every update and deletion."""
    org = asyncio.run(write_org(kafka, registry_url, "json", tmp_path, envelope=envelope))

    assert selected(org, f"accounts_{envelope}.sql") == with_times(org)


def test_flink_reads_each_change_once_and_in_order(json_org: WrittenOrg) -> None:
    """The table has every change of a record, and each with an id of its own."""
    found = flink_rows(json_org.adapted(PROGRAMS["account_changes.sql"]))

    kinds = defaultdict[str, list[str]](list)
    for record_id, change, *_ in found:
        kinds[record_id].append(change)
    assert kinds == json_org.changes
    assert len({event_id for *_, event_id, _ in found}) == len(found)


def selected(org: WrittenOrg, name: str) -> list[list[Any]]:
    """Return the table of states that a script of the page selects, in the order of the ids."""
    found = sorted(flink_rows(org.adapted(PROGRAMS[name])))
    return [[*row, datetime.fromisoformat(modified).replace(tzinfo=UTC)] for *row, modified in found]


def with_times(org: WrittenOrg) -> list[list[Any]]:
    """Return the org's table as Flink prints it, with the times of the last modifications."""
    return [
        [*row, datetime.fromisoformat(org.accounts[row[0]]["LastModifiedDate"])] for row in as_printed(org)
    ]


def printed(org: WrittenOrg, name: str, folder: Path) -> list[list[str]]:
    """Return the table that a program of the page in Java prints."""
    source = folder / name
    source.write_text(org.adapted(PROGRAMS[name]), encoding="utf-8")
    return [line.split("\t") for line in JAVA.output(source).splitlines()]


def as_printed(org: WrittenOrg) -> list[list[str]]:
    """Return the org's table as Java prints it."""
    return [["null" if value is None else str(value) for value in row] for row in org.table]


def keep_table(org: WrittenOrg, name: str, folder: Path) -> None:
    """Run a program of the page in `folder` until its table is the org's, or the program ends."""
    process = subprocess.Popen([sys.executable, "-c", org.adapted(PROGRAMS[name])], cwd=folder)
    try:
        block_until(lambda: rows(folder) == org.table or process.poll() is not None)
    finally:
        process.kill()
        process.wait()


def rows(folder: Path) -> list[tuple[Any, ...]]:
    """Return the committed rows of the table in `folder`, which can be missing at first."""
    with closing(sqlite3.connect(folder / "accounts.db")) as database:
        if not database.execute("SELECT name FROM sqlite_master").fetchall():
            return []
        return database.execute("SELECT * FROM accounts ORDER BY record_id").fetchall()
