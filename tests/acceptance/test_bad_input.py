"""Bad input causes one clear message or one dead letter, and never stops the stream."""

import base64
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import ErpReceiver, MalformedAnswer
from tests.acceptance.kept import KeptInSqlite
from tests.acceptance.sent import by_key, sent_by
from tests.configuration import CHANGES, ORDER_KEY, sandbox_configuration, written
from tests.daemon import Daemon
from tests.waiting import until

_MISTAKES = """\
org:
  login_url: {url}
  auth: {{flow: client_credentials, client_id: sandbox, client_secret: s3cret-of-mine}}
  transport: cometd
channels:
  - {{path: /data/ChangeEvents, start: erliest}}
log: {{sqlite: {{path: log.db}}}}
observe: {{prot: 9464}}
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port on which nobody answers, and which knows whether anybody came."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


async def test_configuration_errors_exit_2_before_anything_connects(
    listener: socket.socket, tmp_path: Path
) -> None:
    """Each error names file, line, key, the value found and the values allowed; no server was called."""
    path = tmp_path / "streamer.yaml"
    path.write_text(_MISTAKES.format(url=f"http://localhost:{listener.getsockname()[1]}"), encoding="utf-8")

    async with Daemon.running(path) as daemon:
        assert await daemon.ended() == 2

    [failed] = daemon.logged("daemon.failed")
    start, key = failed["reason"].splitlines()
    assert f"{path}:6: channels.0.start: found 'erliest'" in start
    assert "must be latest, earliest, snapshot or a time" in start
    assert f"{path}:8: observe.prot: no such key; did you mean port? allowed: host," in key
    with pytest.raises(BlockingIOError):
        listener.accept()
    assert not (tmp_path / "log.db").exists()


async def test_wrong_credential_is_one_sentence_that_says_what_to_do(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """Salesforce's refusal ends the daemon with exit status 1 and the keys to look at."""
    configuration = sandbox_configuration(sandbox.url, log=KeptInSqlite(tmp_path).configuration)
    configuration["org"]["auth"]["client_secret"] = "wr0ng-secret"

    async with Daemon.running(written(tmp_path, configuration)) as daemon:
        assert await daemon.ended() == 1

    [failed] = daemon.logged("daemon.failed")
    assert "refused the login" in failed["reason"]
    assert "check org.auth.client_id and org.auth.client_secret" in failed["reason"]


async def test_unknown_channel_is_named_by_readyz_while_the_others_go_on(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """One misspelt channel makes the daemon unready with a sentence, and stops no other channel."""
    kept = KeptInSqlite(tmp_path)
    configuration = sandbox_configuration(sandbox.url, log=kept.configuration)
    configuration["channels"].append("/data/Acounts__chn")
    async with Daemon.running(written(tmp_path, configuration)) as daemon:
        await daemon.started()

        async def says_why() -> bool:
            status, body = await daemon.probe("readyz")
            sentence = "/data/Acounts__chn: Salesforce refused"
            return status == 503 and sentence in str(body) and "check the channel's name" in str(body)

        await until(says_why)
        _change(sandbox, 10)
        await until(lambda: _holds(kept, 10))
        assert (await daemon.probe("healthz"))[0] == 200


@pytest.mark.parametrize("kind", ["utf8", "nonsense", "json"])
async def test_unreadable_event_becomes_a_dead_letter_and_the_channel_goes_on(
    sandbox: Sandbox, tmp_path: Path, kind: str
) -> None:
    """It keeps the bytes, the channel and the replay id, and what comes after it is appended."""
    kept = KeptInSqlite(tmp_path)
    path = written(tmp_path, sandbox_configuration(sandbox.url, log=kept.configuration))
    _change(sandbox, 30)
    sandbox.faults.unreadable(CHANGES, kind=kind)  # type: ignore[arg-type] # one of the literals above
    poison = sandbox.bus.after(CHANGES, 0)[-1]
    _change(sandbox, 30)
    async with Daemon.running(path) as daemon:
        await until(lambda: _holds(kept, 60))
        assert await daemon.stop() == 0

    [letter] = kept.rows("dead_letters")
    assert poison.data in base64.b64decode(letter["raw"])
    assert (letter["channel"].endswith(CHANGES), letter["replay_id"]) == (True, str(poison.replay_id))


async def test_malformed_answers_of_a_target_never_stops_ingest(sandbox: Sandbox, tmp_path: Path) -> None:
    """While the ERP answers HTML, every event still reaches the log; healed, it gets all of them."""
    async with ErpReceiver(SystemClock()) as erp:
        erp.faults.malformed_answer = MalformedAnswer.HTML
        kept = KeptInSqlite(tmp_path)
        invoice = {
            "uses": "erp",
            "on": "salesforce.event.*",
            "start": "earliest",
            "body": {"order": f"data.fields.{ORDER_KEY}"},
            "settings": {"url": f"{erp.url}/api/invoices", "external_id": f"data.fields.{ORDER_KEY}"},
            "retry": {"first_delay_s": 0.1, "max_delay_s": 0.2},
        }
        more = {"subscribers": {"invoice": invoice}}
        path = written(tmp_path, sandbox_configuration(sandbox.url, log=kept.configuration, **more))
        async with Daemon.running(path) as daemon:
            await daemon.ready()
            for number in range(20):
                sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: str(number)})
            await until(lambda: _holds(kept, 20))
            assert not erp.journal.accepted
            erp.faults.malformed_answer = None

            async def all_accepted() -> bool:
                return len(erp.journal.accepted) == 20

            await until(all_accepted)
    assert by_key(await kept.events()) == by_key(sent_by(sandbox))


def _change(sandbox: Sandbox, count: int) -> None:
    for number in range(count):
        with sandbox.org.transaction() as transaction:
            transaction.create("Account", {"Name": f"No {number}"})


async def _holds(kept: KeptInSqlite, count: int) -> bool:
    return len(await kept.events()) >= count
