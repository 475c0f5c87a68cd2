"""A reader can copy the documentation's commands, configurations, requests, samples and code."""

import ast
import json
import re
import subprocess
import textwrap
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from aiohttp import ClientSession
from defusedxml import ElementTree
from typer.testing import CliRunner
from yarl import URL

from streamer.admin.server import application, gate_of
from streamer.cli import app
from streamer.clock import SystemClock
from streamer.sandbox import Sandbox, parse_schema
from streamer.sandbox.access.users_file import read_users
from streamer.settings import AdminSettings
from tests.integration.snippets.blocks import ROOT, Block, Command, blocks, blocks_of, commands
from tests.integration.snippets.configurations import (
    data_of,
    environment,
    is_configuration,
    is_of_subscriber,
    offer_plugins_of,
    planned,
    written,
)
from tests.integration.snippets.shell import Request, parse, request_of
from tests.unit.admin.world import World
from tests.waiting import LIMIT_S

LANGUAGES = {
    "",
    "console",
    "sh",
    "bash",
    "yaml",
    "json",
    "python",
    "toml",
    "xml",
    "js",
    "java",
    "mermaid",
    "sql",
    "apex",
    "nginx",
    "dockerfile",
}
COMMANDS = commands()
# Programs of others: their options are not ours to check.
FOREIGN = frozenset(
    {".", "apt-get", "cd", "chmod", "cp", "docker", "export", "git", "helm", "jq", "kcat", "kubectl", "mkdir"}
    | {"confluent", "journalctl", "openssl", "pip", "pytest", "python3", "systemctl"}
)
# Keys with which files of others begin: manifests, compose.yaml, rules of Prometheus and its settings.
FOREIGN_YAML = frozenset({"apiVersion", "services", "groups", "global", "scrape_configs", "asyncapi"})
# Of streamer's commands, those that need no org, no daemon and no target.
ALONE = frozenset({"check", "explain", "flow", "render", "schema", "asyncapi", "--help", "--version"})
EVENT = {
    "specversion": "1.0",
    "id": "t1-1:1:006000000000001AAA",
    "source": "/salesforce/00D000000000001EAA",
    "type": "salesforce.cdc.Opportunity.updated",
    "subject": "006000000000001AAA",
    "time": "2026-01-31T12:00:00.000Z",
    "sfchannel": "/data/ChangeEvents",
    "sfreplayid": "17",
    "datacontenttype": "application/json",
    "data": {
        "record_id": "006000000000001AAA",
        "entity": "Opportunity",
        "change": "UPDATE",
        "fields": {"StageName": "Closed Won", "Name": "Acme", "Amount": 10.5, "CloseDate": "2026-01-31"},
        "changed_fields": ["StageName"],
        "nulled_fields": [],
        "transaction": {"key": "t1-1", "sequence": 1},
    },
}


def by(*programs: str) -> list[Command]:
    """Return the commands that call these programs."""
    return [each for each in COMMANDS if each.program in programs]


@pytest.mark.parametrize("block", blocks(), ids=str)
def test_language_is_one_that_is_checked(block: Block) -> None:
    """A block in another language would be checked by nobody."""
    assert block.language in LANGUAGES


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_program_is_known(command: Command) -> None:
    """A mistyped `streamer` does not count as a foreign program."""
    assert command.program in FOREIGN | {"streamer", "curl", "make"}


@pytest.mark.parametrize("command", by("streamer"), ids=str)
def test_command_exists_with_its_options(command: Command) -> None:
    """As the command line reads it."""
    parse(command.inner[1:])


@pytest.mark.parametrize(
    "command",
    [each for each in by("streamer") if ALONE.intersection(each.inner) or each.inner[1] == "test"],
    ids=str,
)
def test_command_that_needs_nobody_runs(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder with the page's configuration as `streamer.yaml`, an event, and our `config`."""
    page = [*blocks_of(ROOT / command.block.page)]
    shown = [each for each in page if each.language == "yaml" and is_configuration(data_of(each))]
    paths = written(shown, tmp_path)
    (tmp_path / "event.json").write_text(json.dumps(EVENT))
    (tmp_path / "config").symlink_to(ROOT / "config")
    monkeypatch.chdir(tmp_path)
    for name, value in environment([*paths, *(ROOT / "config").rglob("*.yaml")]).items():
        monkeypatch.setenv(name, value)

    ran = CliRunner().invoke(app, _with_configuration(command.inner[1:], paths))
    assert ran.exit_code == 0, ran.output
    for line in _shown_output(command):
        assert line in ran.output


@pytest.mark.parametrize("command", by("make"), ids=str)
def test_target_is_in_the_makefile(command: Command) -> None:
    """With the variables that it takes."""
    makefile = (ROOT / "Makefile").read_text()
    targets = [word for word in command.words[1:] if "=" not in word and not word.startswith("-")]
    variables = [word.partition("=")[0] for word in command.words[1:] if "=" in word]

    assert [each for each in targets if not re.search(rf"^{each}:", makefile, flags=re.MULTILINE)] == []
    assert [each for each in variables if not re.search(rf"\b{each}\b", makefile)] == []


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_is_valid(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration, sections or keys of a subscriber over a minimal one, or another file."""
    data = data_of(block)
    if is_configuration(data) or is_of_subscriber(data):
        offer_plugins_of(blocks_of(ROOT / block.page), tmp_path, monkeypatch)
        assert planned([block], tmp_path).settings
    elif all("@" in key for key in data):
        (tmp_path / "users.yaml").write_text(block.text)
        assert len(read_users(tmp_path / "users.yaml")) == len(data)
    elif "objects" in data:
        assert parse_schema(data)
    else:
        assert next(iter(data)) in FOREIGN_YAML, "what is it? a key of it is mistyped, or nobody checks it"


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_is_json(block: Block) -> None:
    """A value, a value on each line, or members of an object."""
    text = block.text
    wrapped = text if text.startswith(("{", "[")) else f"{{{text}}}"

    assert _values(wrapped)


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_compiles(block: Block) -> None:
    """As a module; a part of a function can await."""
    assert compile(textwrap.dedent(block.text), str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("block", blocks("toml", "xml", "js", "java"), ids=str)
def test_other_code_parses(block: Block) -> None:
    """By the parsers of their languages; templates in XML stand for text."""
    checks: dict[str, Callable[[str], Any]] = {
        "toml": tomllib.loads,
        "xml": _parse_xml,
        "js": _parse_js,
        "java": _parse_java,
    }

    checks[block.language](block.text)


async def test_requests_of_the_sandbox_are_taken() -> None:
    """As curl sends them, in their order; the machine's clock can't be turned."""
    sent = 0
    async with Sandbox(SystemClock(), pubsub_port=0) as sandbox, ClientSession() as http:
        form = {"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox-secret"}
        answer = await http.post(f"{sandbox.url}/services/oauth2/token", data=form)
        token = (await answer.json())["access_token"]
        for command, request in _requests(8808):
            url = URL(request.url).with_port(URL(sandbox.url).port)
            headers = {"Content-Type": "application/x-www-form-urlencoded"} if request.body else {}
            headers |= {name: text.replace("$TOKEN", token) for name, text in request.headers.items()}
            answer = await http.request(request.method, url, data=request.body, headers=headers)
            taken = {409} if url.path == "/sandbox/clock" else {200, 201, 204}
            assert answer.status in taken, (str(command), await answer.text())
            sent += 1
    assert sent > 5


@pytest.mark.parametrize("command", by("curl"), ids=str)
def test_curl_asks_a_server_of_ours(command: Command) -> None:
    """The sandbox, the API, or the probes, at their own ports; the API has a route for it."""
    request = request_of(command.words[1:])
    url = URL(request.url)

    assert url.port in {8808, 9464, 9465}
    if url.port == 9464:
        assert url.path in {"/metrics", "/healthz", "/readyz"}
    if url.port == 9465:
        context = World().context
        routes = application(context, gate_of(context, AdminSettings())).router.routes()
        found = [each for each in routes if each.resource and each.resource.get_info()]
        paths = {each.resource.canonical for each in found if each.resource and each.method == request.method}
        patterns = [re.sub(r"\{\w+\}", "[^/]+", path) for path in paths]
        assert any(re.fullmatch(pattern, url.path) for pattern in patterns)


def _requests(port: int) -> list[tuple[Command, Request]]:
    found = [(each, request_of(each.words[1:])) for each in by("curl")]
    return [(each, request) for each, request in found if URL(request.url).port == port]


def _with_configuration(words: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Return the arguments with the page's own configuration instead of `streamer.yaml`."""
    given = [word for path in paths for word in ("-c", str(path))]
    own = [index for index, word in enumerate(words) if word == "streamer.yaml"]
    return [*words[: own[0] - 1], *given, *words[own[0] + 1 :]] if own else list(words)


def _shown_output(command: Command) -> list[str]:
    """Return the lines of output that the page shows of `streamer flow`, which connects to nothing."""
    if "flow" not in command.inner:
        return []
    lines = command.block.text.splitlines()
    return [line for line in lines if line and not line.startswith("$ ")]


def _values(text: str) -> list[Any]:
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(text):
        value, end = decoder.raw_decode(text, at)
        found.append(value)
        at = end + len(text[end:]) - len(text[end:].lstrip())
    return found


def _parse_xml(text: str) -> None:
    ElementTree.fromstring(re.sub(r"\{\{.*?\}\}", "text", text))


def _parse_js(text: str) -> None:
    subprocess.run(
        ["node", "--check", "-"], input=text, text=True, check=True, timeout=LIMIT_S, capture_output=True
    )


def _parse_java(text: str) -> None:
    """Parse a class, without the libraries that it imports."""
    [name] = re.findall(r"^public final class (\w+)", text, flags=re.MULTILINE)
    with TemporaryDirectory() as folder:
        path = Path(folder, f"{name}.java")
        path.write_text(text, encoding="utf-8")
        command = ["javac", "-XDshould-stop.ifNoError=PARSE", "-d", folder, str(path)]
        subprocess.run(command, check=True, timeout=LIMIT_S, capture_output=True)
