"""`streamer asyncapi` prints a document in which the specification's own parser finds no mistake."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from streamer.cli import app
from tests.unit.asyncapi.test_document import EVERYTHING
from tests.waiting import LIMIT_S
from tools.npm import installed

PACKAGE = "@asyncapi/parser@3.6.6"
PARSE = """
const {Parser} = require('@asyncapi/parser');
const texts = JSON.parse(require('fs').readFileSync(0, 'utf8'));
(async () => {
  const found = [];
  for (const text of texts) {
    const {document, diagnostics} = await new Parser().parse(text);
    found.push({
      messages: document ? document.allMessages().all().map(each => each.id()) : [],
      mistakes: diagnostics.filter(each => each.severity < 2)
        .map(each => [each.path.join('/'), each.message]),
    });
  }
  console.log(JSON.stringify(found));
})();
"""


@pytest.fixture(scope="module")
def folder() -> Path:
    """Where Node.js finds the parser."""
    return installed(PACKAGE)


def printed(*arguments: str) -> str:
    """Return what the command prints."""
    result = CliRunner().invoke(app, ["asyncapi", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def parsed(folder: Path, *texts: str) -> list[dict[str, Any]]:
    """Return the messages that the parser finds in each document, and the mistakes: errors and warnings."""
    ran = subprocess.run(
        ["node", "-e", PARSE],
        input=json.dumps(texts),
        env={**os.environ, "NODE_PATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S,
    )
    return list(json.loads(ran.stdout))


def test_parser_finds_no_mistake(folder: Path, tmp_path: Path) -> None:
    """Without a configuration, with one of everything, and in structured mode with a client certificate."""
    whole = tmp_path / "streamer.yaml"
    whole.write_text(EVERYTHING)
    log = {"content_mode": "structured", "topic": "t.{name}", "replication_factor": 3}
    security = {"protocol": "SSL", "certificate_file": "c.pem", "key_file": "k.pem"}
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump({"log": {"kafka": {**log, "security": security}}}))
    documents = [printed(), printed("-c", str(whole)), printed("-c", str(whole), "-c", str(other))]

    for found in parsed(folder, *documents):
        assert found["mistakes"] == []
        assert {"ChangeUpdated", "PlatformEvent", "Receipt", "DeadLetter"} <= set(found["messages"])


def test_parser_would_find_one(folder: Path) -> None:
    """A reference that leads nowhere, and an operation without its channel."""
    broken = json.loads(printed("--json"))
    del broken["components"]["schemas"]["Transaction"]
    del broken["channels"]["streamer.audit"]

    [found] = parsed(folder, json.dumps(broken))
    assert len(found["mistakes"]) >= 2


def test_json_says_the_same() -> None:
    """For programs without a parser of YAML."""
    assert json.loads(printed("--json")) == yaml.safe_load(printed())


def test_mistake_is_a_sentence(tmp_path: Path) -> None:
    """The exit status says that the configuration is wrong."""
    path = tmp_path / "streamer.yaml"
    path.write_text(EVERYTHING.partition("log:\n")[0])
    result = CliRunner().invoke(app, ["asyncapi", "-c", str(path)])

    assert (result.exit_code, "set log.kafka" in result.stderr) == (2, True)
