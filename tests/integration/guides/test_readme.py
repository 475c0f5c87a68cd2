"""What the README shows works as it stands there."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from streamer.app import plan
from streamer.clock import SystemClock
from streamer.configuration import load_document
from streamer.events import Checkpoint
from streamer.log.kafka import KafkaLog
from streamer.normalise import normaliser_for
from streamer.settings import KafkaLogSettings
from tests.contracts.values import Append, append_to
from tests.messages import CHANGES, change, events_of

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
SECRETS = {
    "SF_CLIENT_ID": "id",
    "SF_CLIENT_SECRET": "secret",
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/x",
}


def block(language: str) -> str:
    """Return the README's one block in `language`, without its indentation."""
    (found,) = re.findall(rf"^( *)```{language}\n(.*?)^\1```", README, flags=re.DOTALL | re.MULTILINE)
    indent, text = found
    return "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True))


def test_configuration_is_whole_and_valid(tmp_path: Path) -> None:
    """It passes the check as a newcomer would copy it."""
    path = tmp_path / "streamer.yaml"
    path.write_text(block("yaml"))

    assert list(plan(load_document([path], SECRETS), SystemClock()).settings.subscribers) == ["sales-channel"]


async def test_consumer_prints_what_is_in_the_topic(kafka: str) -> None:
    """The example reads what the log committed, on a real Kafka."""
    topic = f"readme.{uuid4().hex[:8]}.{{name}}"
    settings = KafkaLogSettings(bootstrap_servers=kafka, prefix=f"readme-{uuid4().hex[:8]}", topic=topic)
    event = events_of(normaliser_for(CHANGES), change(1, "001A", Phone="1"))[0]
    async with KafkaLog.open(settings, SystemClock()) as log:
        checkpoint = Checkpoint(channel=CHANGES, replay_id=event.replay_id, verified_at=0)
        await append_to(log, Append(checkpoint=checkpoint, events=[event]))
    example = block("python").replace("localhost:9092", kafka).replace("my-service", uuid4().hex)
    example = example.replace("salesforce.cdc.Account", topic.format(name="Account"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-c", example, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(90):
            line = (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()

    assert line == "salesforce.cdc.Account.updated 001A ['Phone'] {'Phone': '1'}"


@pytest.mark.parametrize("target", re.findall(r"^\$ make ([a-z]+)", README, flags=re.MULTILINE))
def test_every_make_target_exists(target: str) -> None:
    """Nobody is sent to a command that is not there."""
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_link_leads_to_a_file(link: str) -> None:
    """The README's links are relative, and lead somewhere."""
    assert (ROOT / link).exists()
