"""Where the operators' commands look for a daemon, and how they show what targets wrote."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from pydantic import SecretStr
from rich.console import Console

from streamer.cli import output
from streamer.cli.operating.api import DEFAULT_URL, Api, ApiRefused, api_of
from streamer.cli.operating.api_command import ApiOptions, moment
from streamer.cli.operating.subscribers import _read, _why
from streamer.cli.output import plain, print_table
from streamer.errors import ConfigurationError
from streamer.events import JsonObject

TOKEN = "canary-token-of-the-admin-api"
LAST = "3 failed since 2025-01-01 00:00:00Z, last at 2025-01-01 00:00:00Z (http_5xx): answered 503"
FAILING = {
    "error": "answered 503",
    "class": "http_5xx",
    "since": "2025-01-01T00:00:00Z",
    "at": "2025-01-01T00:00:00Z",
    "count": 3,
}


@pytest.mark.parametrize(
    ("options", "command", "printed"),
    [
        (ApiOptions(), "streamer subscribers probe crm", "streamer subscribers probe crm"),
        (ApiOptions(url=DEFAULT_URL), "streamer checkpoint list", "streamer checkpoint list"),
        (
            ApiOptions(url="http://localhost:1", token=TOKEN),
            "streamer checkpoint list",
            "streamer checkpoint list --url http://localhost:1",
        ),
        (
            ApiOptions(config=[Path("a.yaml"), Path("my b.yaml")], url="http://localhost:1"),
            "streamer checkpoint list",
            "streamer checkpoint list -c a.yaml -c 'my b.yaml' --url http://localhost:1",
        ),
        (ApiOptions(config=[Path("a.yaml")]), "streamer doctor -c /etc/b.yaml", "streamer doctor -c a.yaml"),
        (
            ApiOptions(url="http://localhost:1"),
            "streamer doctor -c /etc/b.yaml",
            "streamer doctor -c /etc/b.yaml",
        ),
    ],
)
def test_suggested_command_has_the_options_of_the_daemon(
    options: ApiOptions, command: str, printed: str
) -> None:
    """Without them, the command would reach another daemon. A token is never printed."""
    assert options.same_daemon(command) == printed


@pytest.fixture
def write(tmp_path: Path) -> Path:
    """A file to write a configuration into."""
    return tmp_path / "streamer.yaml"


def test_nothing_given_means_this_machine() -> None:
    """At the daemon's default port, without a token."""
    api = api_of([], None, None)
    assert (api.url, api.token) == (DEFAULT_URL, None)


@pytest.mark.parametrize(
    ("section", "url"),
    [
        ("{}", "http://127.0.0.1:9465"),
        ("{port: 1234}", "http://127.0.0.1:1234"),
        (f"{{host: 0.0.0.0, port: 1, token: {TOKEN}}}", "http://localhost:1"),
        (f"{{host: streamer.acme.com, token: {TOKEN}}}", "http://streamer.acme.com:9465"),
        ("{host: '::1'}", "http://[::1]:9465"),
    ],
)
def test_configuration_names_address_and_token(write: Path, section: str, url: str) -> None:
    """A daemon that listens everywhere is asked on this machine."""
    write.write_text(f"admin: {section}")
    api = api_of([write], None, None)
    assert (api.url, api.token) == (url, SecretStr(TOKEN) if TOKEN in section else None)


def test_what_is_given_overrules_the_configuration(write: Path) -> None:
    """Such as through a tunnel, where the token stays."""
    write.write_text(f"admin: {{token: {TOKEN}}}")
    assert api_of([write], "http://localhost:1", None).token == SecretStr(TOKEN)
    assert api_of([write], "http://localhost:1", "other").token == SecretStr("other")


async def test_daemon_that_does_not_answer_may_do_it_all_the_same() -> None:
    """Whoever took that for a refusal would order it twice."""

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    gone = asyncio.Event()
    async with await asyncio.start_server(silent, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        api = Api(url=f"http://127.0.0.1:{port}", timeout_s=0.2)
        try:
            with pytest.raises(ApiRefused, match=r"has not answered within 0\.2 s\. .* `streamer audit`"):
                await api.post("/dead-letters/redrive")
        finally:
            gone.set()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("admin: null", "1: admin: is null, so the daemon has no admin API"),
        ("admin: {port: 0}", "admin.port is 0"),
        ("admin: {prot: 1}", "1: admin.prot: no such key; did you mean port?"),
        ("admin: {host: 0.0.0.0}", "set a token of 16 characters or more"),
        (f"admin: {{host: 0.0.0.0, token: {TOKEN[:9]}}}", "at least 16"),
    ],
)
def test_configuration_without_an_address_is_a_mistake(write: Path, text: str, sentence: str) -> None:
    """Which is named, and shows no token."""
    write.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        api_of([write], None, None)
    assert sentence in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nothing.json", r"nothing\.json: can't be read: No such file or directory$"),
        ("no.json", r"no\.json: can't be read as JSON: .*line 1 column 1"),
        ("list.json", r"list\.json: must hold a JSON object"),
    ],
)
def test_data_of_a_test_event_that_cannot_be_read_are_named(tmp_path: Path, name: str, sentence: str) -> None:
    """With what is wrong with the file."""
    (tmp_path / "no.json").write_text("fields: {}")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ConfigurationError, match=sentence):
        _read(tmp_path / name)


@pytest.mark.parametrize(("text", "ago"), [("90s", 90), ("30m", 1_800), ("1.5h", 5_400), ("2d", 172_800)])
def test_moment_is_so_long_ago(text: str, ago: int) -> None:
    """To the second."""
    found = datetime.now(UTC) - datetime.fromisoformat(moment(text))
    assert abs(found - timedelta(seconds=ago)) < timedelta(seconds=5)


def test_moment_without_a_zone_is_this_machines() -> None:
    """One with a zone keeps it."""
    here = datetime(2026, 1, 31, 9, 30).astimezone()
    assert datetime.fromisoformat(moment("2026-01-31T09:30")) == here
    assert datetime.fromisoformat(moment("2026-01-31T09:30Z")) == datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize("text", ["yesterday", "2w", "-1h", "", "2026-13-01", "9999999d", "999999d"])
def test_moment_that_is_none_is_refused(text: str) -> None:
    """With what to write."""
    with pytest.raises(typer.BadParameter, match="30m, 2h or 5d"):
        moment(text)


def test_text_of_a_target_does_not_control_the_terminal() -> None:
    """Nor does it become markup."""
    assert plain("a\x1b[31mb\r\n[bold]c\u202e").plain == "a [31mb  [bold]c "


LETTERS = [
    {"FAILED": "2026-01-31 09:30:00Z", "KEY": key, "ERROR": "the target answered 422 " * 3, "ID": id_}
    for key, id_ in {"1": "8dbe75b3-d1ac-470f-9d75-fbadfd9ad8c1:shipment", "2": "x" * 90}.items()
]


def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int | None) -> str:
    """Return how a terminal of that width, or a pipe, shows the letters."""
    if width is not None:
        monkeypatch.setattr(output, "console", lambda: Console(width=width, highlight=False))
    print_table(LETTERS, empty="", whole="ID")
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [60, 80, 300, None])
def test_id_is_shown_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int | None
) -> None:
    """Other commands take it, on a narrow terminal and in a pipe too."""
    words = printed(capsys, monkeypatch, width).split()

    assert [word for word in words if word in {each["ID"] for each in LETTERS}] == [
        each["ID"] for each in LETTERS
    ]


def test_record_is_one_line_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program reads it."""
    assert len(printed(capsys, monkeypatch, None).splitlines()) == 1 + len(LETTERS)


@pytest.mark.parametrize(
    ("here", "why"),
    [
        ({}, None),
        ({"held": "", "failing": None, "next_try": "2025-01-01T00:00:01Z"}, None),
        ({"held": "paused", "failing": None, "next_try": None}, "paused"),
        (
            {"held": "", "failing": FAILING, "next_try": "2025-01-01T00:00:30.5Z"},
            f"{LAST}; the next attempt is at 2025-01-01 00:00:30Z",
        ),
        (
            {"held": "answered 503", "failing": FAILING, "next_try": None},
            LAST,
        ),
        (
            {"held": "30 of the last 50 attempts failed.", "failing": FAILING, "next_try": None},
            f"30 of the last 50 attempts failed; {LAST}",
        ),
    ],
)
def test_list_of_subscribers_says_why_nothing_is_delivered(here: JsonObject, why: str | None) -> None:
    """It gives the reason, the last error and the time of the next attempt, each once."""
    assert _why(here) == why
