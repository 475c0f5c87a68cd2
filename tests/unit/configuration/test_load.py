"""Mistakes are named by file, line and key, with what was found and what is allowed."""

import string

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError, field_validator

from streamer.configuration import load, load_document, problems
from streamer.errors import ConfigurationError
from tests.unit.configuration.conftest import GOOD, Write

AUTH = "{flow: client_credentials, client_id: app, client_secret: sesame}"


def errors_of(write: Write, text: str, environ: dict[str, str] | None = None) -> list[str]:
    """Return the lines that `text` is refused with, without the file's folder."""
    path = write(text)
    with pytest.raises(ConfigurationError) as caught:
        load(load_document([path], environ or {}))
    return [line.removeprefix(f"{path.parent}/") for line in str(caught.value).splitlines()]


def test_good_configuration_has_defaults_for_all_else(write: Write) -> None:
    """Org, channels and subscribers are enough."""
    loaded = load(load_document([write(GOOD)], {}))

    assert loaded.log.kafka is None
    assert loaded.subscribers["sales"].on == ("salesforce.cdc.Opportunity.updated",)  # type: ignore[index] # a name as the file has it


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "uses: slack",
            "uses: slack\n    usse: x",
            "8: subscribers.sales.usse: no such key; did you mean uses? allowed: ",
        ),
        (
            "uses: slack",
            "uses: slack\n    max_in_flight: no",
            "8: subscribers.sales.max_in_flight: found 'no'; ",
        ),
        ("    uses: slack\n", "", "6: subscribers.sales.uses: is missing"),
        ("[/data/ChangeEvents]", "[]", "4: channels: "),
        ("[/data/ChangeEvents]", "[/dta/X]", "4: channels.0: found '/dta/X'; must look like /data/"),
        ("[/data/ChangeEvents]", "[{path: /data/X, start: 5}]", "4: channels.0.start: found 5; input should"),
        ("[/data/ChangeEvents]", "[/data/X, /data/X]", "4: channels: named more than once: /data/X"),
        ("https://acme.my.salesforce.com", "acme", "2: org.login_url: found 'acme'; must be a URL"),
        ("flow: client_credentials", "flow: magic", "3: org.auth.flow: found 'magic'; allowed: 'jwt', "),
        ("flow: client_credentials, ", "", "3: org.auth.flow: is missing"),
        (AUTH, "text", "3: org.auth: found 'text'; "),
        (
            AUTH,
            "{flow: password, password: x, username: u, client_secret: s}",
            "3: org.auth.client_id: is mi",
        ),
        (AUTH, "{flow: jwt, client_id: a, username: u}", "3: org.auth.key: is missing"),
        ("client_secret: sesame", "client_secret: [sesame]", "3: org.auth.client_secret: found a value that"),
        ("client_secret: sesame", "client_secret: 123456", "3: org.auth.client_secret: found a value that"),
        ("  sales:", "  Sales Team:", "6: subscribers.Sales Team: "),
        ("  sales:", "  5:", "6: subscribers.5: "),
    ],
)
def test_mistake_names_line_key_found_and_allowed(write: Write, old: str, new: str, expected: str) -> None:
    """One line for each."""
    assert old in GOOD
    (line,) = errors_of(write, GOOD.replace(old, new))

    assert line.startswith(f"streamer.yaml:{expected}"), line
    assert "sesame" not in line
    assert "123456" not in line


def test_every_mistake_is_named_at_once(write: Write) -> None:
    """Nobody wants to hear of them one by one."""
    lines = errors_of(write, GOOD.replace("org:", "org2:").replace("uses: slack", "uses: 5"))

    assert [line.split(": ")[1] for line in lines] == ["org", "subscribers.sales.uses", "org2"]


def test_org_without_a_place_of_its_own_points_at_the_file(write: Write) -> None:
    """What is missing at the top has the first line."""
    assert errors_of(write, "channels: [/data/X]") == ["streamer.yaml:1: org: is missing"]


class Talkative(BaseModel):
    """A plugin's settings, whose author repeats the value."""

    token: str

    @field_validator("token")
    @classmethod
    def _refuse(cls, token: str) -> str:
        raise ValueError(f"{token} is too short")


def test_plugin_that_repeats_a_secret_is_not_quoted(write: Write) -> None:
    """What its model says of a secret is left out."""
    document = load_document([write("token: hunter2")], {})
    with pytest.raises(ValidationError) as caught:
        Talkative.model_validate(document.data)
    (line,) = problems(caught.value, document, Talkative)

    assert line.endswith(":1: token: found a value that is not shown; it does not have the required form")


_PLACES = [
    ("org", "login_url"),
    ("org", "auth", "client_secret"),
    ("org", "auth", "client_id"),
    ("org", "auth", "flow"),
    ("org", "allow_http"),
    ("org", "api_version"),
    ("channels", 0),
    ("subscribers", "sales", "start"),
    ("subscribers", "sales", "max_in_flight"),
    ("subscribers", "sales", "retry"),
    ("observe",),
    ("log", "kafka"),
    ("grace_period_s",),
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    at=st.sampled_from(_PLACES),
    secret=st.text(string.ascii_letters + string.digits + "'\"{}$:/ %", min_size=8, max_size=40),
)
def test_secret_never_appears_in_an_error(write: Write, at: tuple[str | int, ...], secret: str) -> None:
    """Wherever a variable is used, right or wrong, its value is not repeated."""
    document = yaml.safe_load(GOOD) | {"observe": {}, "log": {}}
    inner = document
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = "${SECRET}"
    sentence = ""
    try:
        load(load_document([write(yaml.safe_dump(document))], {"SECRET": f"Zq{secret}"}))
    except ConfigurationError as error:
        sentence = str(error)

    assert "Zq" not in sentence
