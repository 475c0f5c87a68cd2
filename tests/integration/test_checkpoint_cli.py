"""`streamer checkpoint` with a daemon that reads an org: nothing is repeated without `--repeat`."""

import asyncio
import re
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from typer.testing import CliRunner, Result

from streamer.app.daemon import App
from streamer.cli import app
from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from tests.configuration import CHANGES, over_pubsub, sandbox_configuration, written
from tests.in_process import running
from tests.waiting import until


async def call(daemon: App, *arguments: str, typed: str = "") -> Result:
    """Call a command of `checkpoint` in another thread, while this one serves the API."""
    words = ["checkpoint", *arguments, "--url", f"http://localhost:{daemon.supervising.ports.admin}"]
    runner = CliRunner(env={"NO_COLOR": "1", "STREAMER_OPERATOR": "ada"})
    return await asyncio.to_thread(runner.invoke, app, words, input=typed)


def json_in(result: Result) -> Any:
    """Return what a command printed, among the lines that the daemon of this process logs."""
    found = re.search(r"^\{\n.*?^\}$", result.output, re.DOTALL | re.MULTILINE)
    assert found, result.output
    return orjson.loads(found[0])


def names(path: Path) -> list[str]:
    """Return the names of the accounts in the log, in its order."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT body FROM events ORDER BY seq").fetchall()
    return [orjson.loads(body)["data"]["fields"]["Name"] for (body,) in rows]


def is_last(path: Path, name: str) -> bool:
    """Return true once the log ends with the account of a name."""
    return names(path)[-1:] == [name]


def holes(path: Path) -> list[tuple[str, str]]:
    """Return the causes and states of the continuity records."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT body FROM continuity ORDER BY seq").fetchall()
    found = [orjson.loads(body) for (body,) in rows]
    return [(each["cause"], each["state"]) for each in found]


@pytest.mark.parametrize("transport", ["cometd", "pubsub"])
async def test_position_is_moved_between_two_answers(tmp_path: Path, transport: str) -> None:
    """Back without a repetition, back with one, and behind a replay id of the log."""
    file = tmp_path / "log.db"
    async with Sandbox(SystemClock(), pubsub_port=0) as sandbox:

        def create(name: str) -> None:
            with sandbox.org.transaction() as transaction:
                transaction.create("Account", {"Name": name})

        configuration = sandbox_configuration(
            sandbox.url,
            log={"sqlite": {"path": str(file)}},
            channels=[{"path": CHANGES, "start": "earliest"}],
        )
        if transport == "pubsub":
            configuration = over_pubsub(configuration, sandbox.pubsub_address)
        async with running(written(tmp_path, configuration)) as daemon:
            for name in "ab":
                create(name)
                await until(partial(is_last, file, name))
            listed = await call(daemon, "list", "--json")
            [shown] = json_in(listed)["checkpoints"]
            assert (shown["channel"], shown["transport"], bool(shown["owner"])) == (CHANGES, transport, True)
            assert shown["stored_at"] is not None
            assert shown["expires_at"] > shown["verified_at"]

            refused = await call(daemon, "set", CHANGES, "--earliest")
            assert (refused.exit_code, "--yes" in refused.output) == (2, True)
            back = await call(daemon, "set", CHANGES, "--earliest", "--yes")
            assert back.exit_code == 0, back.output
            assert "Repeated: nothing." in back.output
            create("c")
            await until(lambda: holes(file) == [("position_set", "full")])
            await until(lambda: names(file) == ["a", "b", "c"])

            behind = await call(daemon, "set", CHANGES, "--replay-id", shown["complete_replay_id"], "--yes")
            assert behind.exit_code == 0, behind.output
            create("d")
            await until(lambda: names(file) == ["a", "b", "c", "d"])
            await until(lambda: holes(file) == [("position_set", "full")] * 2)

            repeated = await call(daemon, "set", CHANGES, "--since", "1h", "--repeat", "--yes", "--json")
            order = json_in(repeated)
            assert order["effect"]["repeats"]["events"] == 4
            await until(lambda: names(file) == [*"abcd"] * 2)
            assert holes(file) == [("position_set", "full")] * 3
            await until(lambda: not daemon_orders(file))


def daemon_orders(path: Path) -> int:
    """Return the number of the orders that wait."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        return int(connection.execute("SELECT count(*) FROM positions").fetchone()[0])


@pytest.mark.parametrize(
    ("transport", "unlikely"), [("cometd", "999999999"), ("pubsub", "base64:AAAAAAAAA+gAAAABAAA=")]
)
async def test_refused_replay_id_fails_the_command(tmp_path: Path, transport: str, unlikely: str) -> None:
    """With Salesforce's words; the position stays, the audit tells the refusal, and so does the record."""
    file = tmp_path / "log.db"
    async with Sandbox(SystemClock(), pubsub_port=0) as sandbox:
        configuration = sandbox_configuration(
            sandbox.url,
            log={"sqlite": {"path": str(file)}},
            channels=[{"path": CHANGES, "start": "earliest"}],
        )
        if transport == "pubsub":
            configuration = over_pubsub(configuration, sandbox.pubsub_address)
        async with running(written(tmp_path, configuration)) as daemon:
            with sandbox.org.transaction() as transaction:
                transaction.create("Account", {"Name": "a"})
            await until(partial(is_last, file, "a"))
            mistaken = await call(daemon, "set", CHANGES, "--replay-id", "hello", "--yes")
            refused = await call(daemon, "set", CHANGES, "--replay-id", unlikely, "--yes", "--wait", "60")

            assert (mistaken.exit_code, "replay_id: must be" in mistaken.output) == (1, True)
            assert refused.exit_code == 1, refused.output
            assert "Salesforce refused that id, so the position is unchanged." in refused.output
            assert holes(file) == [("position_refused", "full")]
            await until(lambda: audit(file) == ["position.ordered", "position.refused"])
            with sandbox.org.transaction() as transaction:
                transaction.create("Account", {"Name": "b"})
            await until(lambda: names(file) == ["a", "b"])


def audit(path: Path) -> list[str]:
    """Return what the audit tells."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT body FROM audit ORDER BY seq").fetchall()
    return [orjson.loads(body)["what"] for (body,) in rows]


async def test_ready_names_the_way_out_of_a_refused_position(tmp_path: Path) -> None:
    """With the policy `fail`, the command that it names lets Streamer continue reading the channel."""
    file = tmp_path / "log.db"
    async with Sandbox(SystemClock(), pubsub_port=0) as sandbox:
        channel = {"path": CHANGES, "start": "earliest", "on_refused_replay_id": "fail"}
        configuration = sandbox_configuration(
            sandbox.url, log={"sqlite": {"path": str(file)}}, channels=[channel]
        )
        async with running(written(tmp_path, configuration)) as daemon:
            for name in "ab":
                with sandbox.org.transaction() as transaction:
                    transaction.create("Account", {"Name": name})
                await until(partial(is_last, file, name))
            sandbox.faults.reset_stream()
            sandbox.faults.forget_client()
            named = await way_out(daemon)
            assert named[:3] == ["streamer", "checkpoint", "set"]
            said = await call(daemon, *named[2:], "--yes", "--wait", "60")
            assert said.exit_code == 0, said.output
            with sandbox.org.transaction() as transaction:
                transaction.create("Account", {"Name": "c"})
            await until(partial(is_last, file, "c"))


async def way_out(daemon: App) -> list[str]:
    """Return the command that `/readyz` names, once it does."""
    async with aiohttp.ClientSession() as http:

        async def named() -> list[str]:
            async with http.get(f"http://localhost:{daemon.supervising.ports.probes}/readyz") as response:
                return re.findall("`(streamer checkpoint set [^`]+)`", await response.text())

        # The last one has no history to go through first.
        return str((await until(named, every_s=0.1))[-1]).split()
