"""Output of `streamer` before anything connects."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from streamer.cli import app
from streamer.cli.output import failures_reported
from streamer.errors import ConfigurationError, CredentialsRefused
from tests.operating import Operator, Said
from tests.waiting import LIMIT_S

GOOD = """\
org:
  login_url: https://acme.my.salesforce.com
  auth: {flow: client_credentials, client_id: app, client_secret: sesame}
channels: [/data/ChangeEvents]
subscribers:
  sales:
    uses: slack
    on: salesforce.cdc.Opportunity.updated
    text: "{{ subject }}"
    settings: {webhook_url: https://hooks.slack.com/services/T0/B0/x}
"""

Invoke = Callable[..., Result]


@pytest.fixture
def invoke() -> Invoke:
    """Call the command line in this process."""
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration without mistakes."""
    path = tmp_path / "streamer.yaml"
    path.write_text(GOOD)
    return path


COMMANDS = [(), *((name,) for name in ("run", "check", "explain", "render", "schema", "asyncapi", "publish"))]
SERVERS = [("sandbox",), ("demo",), ("audit",), ("reconcile",), ("tail",)]
EVENTS = [("events", name) for name in ("find", "show")]
PARKED = [("parked", "list"), ("continuity", "list")]
SUBSCRIBERS = [("subscribers", name) for name in ("list", "pause", "resume", "probe", "test")]
DEAD_LETTERS = [("deadletters", name) for name in ("list", "show", "redrive", "cancel", "discard")]
CDC = [("org", "cdc", name) for name in ("list", "enable", "disable")]
CHANNELS = [("org", "channels", name) for name in ("list", "create", "add", "remove", "delete")]
SNAPSHOTS = [("snapshot", name) for name in ("start", "list", "pause", "resume", "cancel", "watch")]
POSITIONS = [("checkpoint", name) for name in ("list", "set", "reset", "cancel")]
EVERY_COMMAND = [
    *COMMANDS,
    *POSITIONS,
    *SERVERS,
    *EVENTS,
    *SUBSCRIBERS,
    *DEAD_LETTERS,
    *PARKED,
    *SNAPSHOTS,
    *CDC,
    *CHANNELS,
]


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_every_command_explains_itself(invoke: Invoke, command: tuple[str, ...]) -> None:
    """With --help, and exit status 0."""
    answer = invoke(*command, "--help")

    assert answer.exit_code == 0
    assert "Usage:" in answer.output


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_help_names_what_options_take_in_words(invoke: Invoke, command: tuple[str, ...]) -> None:
    """By -h too; a type of Python's says nothing, and each option with a value has a default."""
    answer = invoke(*command, "-h")

    assert answer.exit_code == 0
    assert not re.search(r"<[a-z]|list\[|Path", answer.output)
    options = re.split(r"\n│ [* ] {0,2}--|\n│ --", answer.output.partition(" Options ")[2])[1:]
    valued = [each for each in options if re.match(r"[a-z-]+ +(-\w +)?([A-Z:]{2,}|[a-z]+\|)", each)]
    assert all("default:" in each or "required" in each for each in valued), valued


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("audit", "--last", "x"), "'--last' / '-n': must be a whole number"),
        (("audit", "--last", 0), "'--last' / '-n': must be at least 1"),
        (("deadletters", "redrive", "--per-second", 0), "'--per-second': must be at least 0.01"),
        (
            ("continuity", "list", "--state", "lost"),
            "'--state': 'lost' is not one of 'open', 'full', 'partial'",
        ),
        (("demo", "--report", "/nowhere/at/all.json"), "'--report': /nowhere/at/all.json can't be written"),
        (
            ("demo", "--svg", "/"),
            "'--svg': / can't be written: name a file in a folder that you can write to",
        ),
        (("run", "-c", "x", "--role", "both"), "'--role': 'both' is not one of 'all', 'ingest', 'dispatch'"),
    ],
)
def test_refused_option_says_what_it_takes(invoke: Invoke, arguments: tuple[str, ...], reason: str) -> None:
    """In the words of the configuration, before anything runs."""
    answer = invoke(*arguments)

    assert answer.exit_code == 2
    assert reason in re.sub(r"\s+│\n│\s+", " ", answer.output)


def test_version_and_completion_are_offered(invoke: Invoke) -> None:
    """As a command-line tool should."""
    assert invoke("--version").output.startswith("streamer 0")
    assert "--install-completion" in invoke("--help").output


def test_good_configuration_passes(invoke: Invoke, config: Path) -> None:
    """Exit status 0, and one sentence of what was found."""
    answer = invoke("check", "-c", config)

    assert answer.exit_code == 0
    assert "1 channel, the log in SQLite, 1 subscriber" in answer.output


def test_rule_that_protects_nothing_is_a_warning(invoke: Invoke, config: Path) -> None:
    """The configuration is good all the same: another daemon can share the rules."""
    config.write_text(f"{GOOD}protect: [{{entity: Order__e, fields: '*', how: drop}}]\n")
    answer = invoke("check", "-c", config)

    assert answer.exit_code == 0
    assert "Warning: " in answer.stderr
    assert "which no channel carries, so the rule protects nothing" in re.sub(r"\s+", " ", answer.stderr)
    assert "The configuration is good" in answer.stdout


def test_configuration_in_effect_is_printed(invoke: Invoke, config: Path) -> None:
    """It can be read again, plugins' settings included, but for what is masked."""
    answer = invoke("check", "-c", config, "--print")
    whole = yaml.safe_load(answer.stdout)

    assert answer.exit_code == 0
    assert answer.stdout.startswith(
        "# The configuration is good: 1 channel, the log in SQLite, 1 subscriber.\n"
    )
    assert "sesame" not in answer.output
    assert "T0/B0" not in answer.output
    assert whole["subscribers"]["sales"]["settings"]["interval_s"] == 1.0


def test_refused_configuration_is_not_printed(invoke: Invoke, config: Path) -> None:
    """It has a secret option of librdkafka, which the output does not repeat."""
    options = "{sasl.password: canary, ssl.key.pem: canary}"
    config.write_text(f"{GOOD}log:\n  kafka:\n    bootstrap_servers: localhost\n    options: {options}\n")
    answer = invoke("check", "-c", config, "--print")

    assert (answer.exit_code, answer.stdout) == (2, "")
    assert "log.kafka.options.sasl.password: must not be set" in answer.stderr
    assert "canary" not in answer.output


def test_schema_is_printed_as_json(invoke: Invoke) -> None:
    """With the settings of the installed plugins."""
    answer = invoke("schema")

    assert answer.exit_code == 0
    assert "SlackSettings" in json.loads(answer.stdout)["$defs"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "uses: slack",
            "uses: slak",
            "7: subscribers.sales.uses: found 'slak'; installed plugins: erp, file, fulfillment, kafka, ",
        ),
        ("{{ subject }}", "{{ subject", "9: subscribers.sales.text: is not a Jinja2 template"),
        ("webhook_url", "webhok_url", "10: subscribers.sales.settings.webhok_url: no such key"),
        ("channels: [", "channels: [/x, ", "4: channels.0: found '/x'; must look like"),
    ],
)
def test_mistake_exits_2_and_names_its_place(
    invoke: Invoke, config: Path, old: str, new: str, expected: str
) -> None:
    """Down to the plugins' settings and the expressions."""
    config.write_text(GOOD.replace(old, new))
    answer = invoke("check", "-c", config)

    assert answer.exit_code == 2
    assert f"streamer: {config}:{expected}" in answer.stderr
    assert "Traceback" not in answer.output


def test_missing_file_exits_2(invoke: Invoke, tmp_path: Path) -> None:
    """In one sentence."""
    answer = invoke("check", "-c", tmp_path / "none.yaml")

    assert (answer.exit_code, answer.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("errors", "status"),
    [
        ([ConfigurationError("a"), ConfigurationError("b")], 2),
        ([ConfigurationError("a"), CredentialsRefused("b")], 1),
        ([CredentialsRefused("b"), CredentialsRefused("b")], 1),
    ],
)
def test_failures_of_several_tasks_are_told_once_each(
    capsys: pytest.CaptureFixture[str], errors: list[Exception], status: int
) -> None:
    """Task groups wrap them, however deep."""
    with pytest.raises(typer.Exit) as caught, failures_reported():
        raise ExceptionGroup("tasks", [ExceptionGroup("inner", errors[:1]), *errors[1:]])

    assert caught.value.exit_code == status
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"streamer: {sentence}" for sentence in dict.fromkeys(map(str, errors))]


def test_bug_is_not_told_as_if_it_were_planned() -> None:
    """It keeps its traceback."""
    with pytest.raises(ExceptionGroup) as caught, failures_reported():
        raise ExceptionGroup("tasks", [ZeroDivisionError("a bug")])

    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)


def test_bug_that_ends_the_daemon_is_one_line_of_json() -> None:
    """With its traceback in the line, so that a collector of logs gets it whole."""
    code = "from streamer.cli.run import _Failures\nwith _Failures(as_json=True).told(): 1 / 0"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    said = json.loads(answer.stderr.splitlines()[0])

    assert (said["event"], said["level"]) == ("daemon.failed", "error")
    assert "ZeroDivisionError" in said["exception"]


def test_no_colour_where_none_is_wanted(config: Path) -> None:
    """NO_COLOR is honoured, a terminal or not."""
    config.write_text(GOOD.replace("uses: slack", "uses: slak"))
    environ = {**os.environ, "NO_COLOR": "1", "FORCE_COLOR": "", "TERM": "xterm-256color"}
    answer = subprocess.run(
        [sys.executable, "-m", "streamer", "check", "-c", config],
        env=environ,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert answer.returncode == 2
    assert b"\x1b[3" not in answer.stdout + answer.stderr


@pytest.mark.parametrize("option", ["--port", "--pubsub-port"])
def test_second_sandbox_is_refused_in_a_sentence(invoke: Invoke, option: str) -> None:
    """Instead of a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = invoke("sandbox", "--port", 0, option, port)

    sentence = (
        f"localhost:{port} is already in use; choose another {option} (0 takes a free port) "
        "or another --host."
    )
    assert (answer.exit_code, answer.stderr) == (2, f"streamer: {sentence}\n")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--host", "192.0.2.1"), "Cannot assign requested address)"),
        (("--tls", "--tls-folder", "/proc/x"), "/proc/x (No such file or directory); choose another --tls-f"),
        (("--port", "99999"), "must be at most 65535"),
        (("--callback", "nonsense"), "--callback: nonsense: must be an absolute URL"),
        (("--callback", "https://[::1"), "--callback: https://[::1: must be an absolute URL"),
        (("--callback", "https://app.example/#x"), "must be an absolute URL without #"),
    ],
)
def test_address_that_the_sandbox_cannot_take_is_named(
    invoke: Invoke, arguments: tuple[str, ...], reason: str
) -> None:
    """With the reason."""
    answer = invoke("sandbox", *arguments)

    assert answer.exit_code == 2
    assert reason in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.output


def run_with(config: Path, text: str) -> Awaitable[Said]:
    """Run a daemon of this configuration, which has to end by itself, in a process of its own."""
    config.write_text(text)
    return Operator(environ={}).call("run", "-c", str(config))


@pytest.mark.parametrize("section", ["observe", "admin"])
async def test_port_in_use_is_one_sentence(config: Path, section: str) -> None:
    """That names the section and says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sections = {"observe": 0, "admin": 0, section: port}
        written = "".join(f"{name}: {{host: 127.0.0.1, port: {at}}}\n" for name, at in sections.items())
        log = f"log: {{sqlite: {{path: {config.parent / 'log.db'}}}}}"
        answer = await run_with(config, f"{GOOD}{log}\n{written}")

    told = f"{section}: 127.0.0.1:{port} is already in use; choose another {section}.port"
    said = list(map(json.loads, answer.error.splitlines()))
    assert answer.status == 2
    assert [each["reason"] for each in said if each["event"] == "daemon.failed"] == [
        f"{told} or {section}.host; with port 0, the system chooses a free port."
    ]


@pytest.mark.parametrize("mistake", ["uses: slak", "uses: [", "use: slack"])
async def test_mistake_that_ends_the_daemon_is_json_where_its_logs_are(config: Path, mistake: str) -> None:
    """A collector of logs reads each line, the last one most of all."""
    answer = await run_with(config, GOOD.replace("uses: slack", mistake))

    said = list(map(json.loads, answer.error.splitlines()))
    assert answer.status == 2
    assert {(each["event"], each["level"]) for each in said} == {("daemon.failed", "error")}
    assert all(str(config) in each["reason"] for each in said)


def test_sandbox_ends_cleanly_at_a_signal() -> None:
    """SIGTERM is how containers ask."""
    with subprocess.Popen(
        [sys.executable, "-m", "streamer", "sandbox", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        assert b"http://localhost:" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)

        assert process.wait(LIMIT_S) == 0


def test_file_of_users_that_cannot_be_read_is_named(invoke: Invoke, tmp_path: Path) -> None:
    """Before anything listens."""
    answer = invoke("sandbox", "--port", 0, "--users", tmp_path / "users.yaml")
    assert answer.exit_code == 2
    assert "streamer: --users:" in answer.stderr
    assert "users.yaml: can't be read: No such file or directory\n" in answer.stderr


def test_mistakes_in_a_schema_are_all_named(invoke: Invoke, tmp_path: Path) -> None:
    """With their lines, before anything listens."""
    file = tmp_path / "schema.yaml"
    file.write_text("objects:\n  Line__c: {fields: {X__c: txet}}\nevents: {Paid: {}}\n")
    answer = invoke("sandbox", "--port", 0, "--schema", file)
    assert answer.exit_code == 2
    assert "streamer: --schema:" in answer.stderr
    assert f"{file}:2: objects.Line__c.fields.X__c.type: must be 'string'" in answer.stderr
    assert f"{file}:3: events.Paid: is not the name of a platform event" in answer.stderr


def test_schema_that_cannot_be_read_is_named(invoke: Invoke, tmp_path: Path) -> None:
    """Like the file of users."""
    answer = invoke("sandbox", "--port", 0, "--schema", tmp_path / "schema.yaml")
    assert answer.exit_code == 2
    assert "streamer: --schema:" in answer.stderr
    assert "schema.yaml: can't be read: No such file or directory\n" in answer.stderr
