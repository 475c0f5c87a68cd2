"""Mistakes are named by file, line and key, with the value found and the values allowed."""

import string

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError, field_validator

from streamer.configuration import load, load_document, problems
from streamer.errors import ConfigurationError
from tests.unit.configuration.conftest import GOOD, Write

SASL = "{protocol: SASL_PLAINTEXT, mechanism: PLAIN, username: u, password: sesame}"
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
        (
            "[/data/ChangeEvents]",
            "[{path: /data/XChangeEvent, start: 5}]",
            "4: channels.0.start: found 5; must be latest, earliest, snapshot or a time as in {since: 2",
        ),
        (
            "[/data/ChangeEvents]",
            "[/event/X, /event/X]",
            "4: channels: must not name a channel more than once: /event/X",
        ),
        (
            "https://acme.my.salesforce.com",
            "acme",
            "2: org.login_url: found 'acme'; must be a URL that begins",
        ),
        (
            "  auth:",
            "  proxy: socks5://proxy.acme.com:1080\n  auth:",
            "3: org.proxy: found 'socks5://proxy.acme.com:1080'; must look like http://proxy.acme.com:3128",
        ),
        (
            "  auth:",
            "  proxy: https://ann:sesame@proxy.acme.com\n  auth:",
            "3: org.proxy: found a value that is not shown; must look like http://proxy.acme.com:3128",
        ),
        (
            "  auth:",
            "  transport: grpc\n  auth:",
            "3: org.transport: found 'grpc'; must be 'cometd' or 'pubsub'",
        ),
        (
            "  auth:",
            "  pubsub: {endpoint: api.pubsub.salesforce.com}\n  auth:",
            "3: org.pubsub.endpoint: found 'api.pubsub.salesforce.com'; must be a host and a port",
        ),
        ("flow: client_credentials", "flow: magic", "3: org.auth.flow: found 'magic'; allowed: 'jwt', "),
        ("flow: client_credentials, ", "", "3: org.auth.flow: is missing"),
        (AUTH, "text", "3: org.auth: found a value that is not shown; must be a section"),
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
    """A key that is missing at the top has the first line."""
    assert errors_of(write, "channels: [/data/XChangeEvent]") == ["streamer.yaml:1: org: is missing"]


class Talkative(BaseModel):
    """A plugin's settings, whose author repeats the value."""

    token: str

    @field_validator("token")
    @classmethod
    def _refuse(cls, token: str) -> str:
        raise ValueError(f"{token} is too short")


def test_plugin_that_repeats_a_secret_is_not_quoted(write: Write) -> None:
    """Its model's words about a secret are left out."""
    document = load_document([write("token: hunter2")], {})
    with pytest.raises(ValidationError) as caught:
        Talkative.model_validate(document.data)
    (problem,) = problems(caught.value, document, Talkative)

    assert problem.line.endswith(
        ":1: token: found a value that is not shown; the value does not have the required form"
    )


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


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "org:",
            'org:\n  api_version: "40.0"',
            "must be 41.0 or later, because Salesforce retires older versions in June 2027 (Summer '27)",
        ),
        (
            "org:",
            "org:\n  api_version: 62.0",
            "org.api_version: found 62.0; must be a text: put the value in quotes",
        ),
        ("org:", "org:\n  api_version: '62'", "org.api_version: found '62'; must look like \"64.0\""),
        (
            "uses: slack",
            "uses: slack\n    start: {a: b}",
            "sales.start: must be 'latest' or 'earliest' or a time",
        ),
        (
            "uses: slack",
            "uses: slack\n    start: soon",
            "sales.start: found 'soon'; must be 'latest' or 'earl",
        ),
        ("on: salesforce.cdc.Opportunity.updated", "on: {a: b}", "subscribers.sales.on: must be a list"),
        (
            "on: salesforce.cdc.Opportunity.updated",
            "on: [5]",
            "subscribers.sales.on.0: found 5; must be a tex",
        ),
        (
            "on: salesforce.cdc.Opportunity.updated",
            "on: []",
            "subscribers.sales.on: must have at least 1 ent",
        ),
        ("uses: slack", "uses: slack\n    retry: 5", "subscribers.sales.retry: found 5; must be a section"),
        ("uses: slack", "uses: slack\n    receipts: maybe", "found 'maybe'; must be true or false"),
        (
            "uses: slack",
            "uses: slack\n    rate: {per_second: -1}",
            "rate.per_second: found -1; must be great",
        ),
        (
            "org:",
            "log: {kafka: {bootstrap_servers: a, options: {a: [1]}}}\norg:",
            "log.kafka.options.a: must",
        ),
        (
            "org:",
            "log: {kafka: {bootstrap_servers: a, security: {ca_file: 5}}}\norg:",
            "found 5; must be the p",
        ),
        ("org:", "observe: {port: 70000}\norg:", "observe.port: found 70000; must be at most 65535"),
    ],
)
def test_mistake_is_told_in_words_of_the_configuration(
    write: Write, old: str, new: str, expected: str
) -> None:
    """The library that checks the types has words of its own, which say nothing to an operator."""
    (line,) = errors_of(write, GOOD.replace(old, new, 1))

    assert expected in line
    assert not any(word in line for word in ("input", "valid", "tuple", "Enum", "enum[", "pydantic", "class"))


def test_missing_variables_are_named_with_every_other_mistake(write: Write) -> None:
    """And what follows from a missing value is not a mistake of its own."""
    text = GOOD.replace("client_id: app", 'client_id: "${ID}"').replace("sesame", '"${SECRET}"')
    text = text.replace("uses: slack", "uses: slack\n    max_in_flight: ${MANY}\n    order: any")

    lines = errors_of(write, text)

    assert [line.split(": ")[1] for line in lines] == [
        "org.auth.client_id",
        "org.auth.client_secret",
        "subscribers.sales.max_in_flight",
        "subscribers.sales.order",
    ]
    assert lines[0].endswith("the environment has no variable ID; set it, or write ${ID:-default}")


def test_mistakes_behind_others_are_named_too(write: Write) -> None:
    """A channel that is named twice is found beside a channel with an invalid path."""
    lines = errors_of(write, GOOD.replace("[/data/ChangeEvents]", "[/event/X, /event/X, /x]"))

    assert [line.split(": ")[1] for line in lines] == ["channels.2", "channels"]


@pytest.mark.parametrize(
    ("added", "line"),
    [
        ("admin: {port: 9464}", "9: admin.port: found 9464, which is also observe.port"),
        ("observe: {port: 9465}", "9: observe.port: found 9465, which is also admin.port"),
        ("observe: {port: 1, host: 127.0.0.1}\nadmin: {port: 1, host: localhost}", "10: admin.port: found 1"),
    ],
)
def test_port_for_two_listeners_is_refused(write: Write, added: str, line: str) -> None:
    """The second one could not start."""
    assert errors_of(write, f"{GOOD}{added}\n")[0].startswith(f"streamer.yaml:{line}")


@pytest.mark.parametrize(
    "added",
    ["observe: {port: 0}\nadmin: {port: 0}", "observe: {port: 9465, host: 127.0.0.2}", "admin: null"],
)
def test_ports_that_do_not_meet_are_allowed(write: Write, added: str) -> None:
    """A free port is another one each time, and an address of its own has ports of its own."""
    assert load(load_document([write(f"{GOOD}{added}\n")], {}))


@pytest.mark.parametrize(
    ("kafka", "told"),
    [
        ("bootstrap_servers: kafka:9092", "PLAINTEXT"),
        ("bootstrap_servers: 'localhost:9092, kafka-1.acme.com'", "PLAINTEXT"),
        ("bootstrap_servers: 'PLAINTEXT://10.0.0.1:9092'", "PLAINTEXT"),
        ("bootstrap_servers: '[fe80::1]:9092'", "PLAINTEXT"),
        (
            f"bootstrap_servers: a:1, security: {SASL}",
            "SASL_PLAINTEXT",
        ),
        ("bootstrap_servers: 'localhost:9092,[::1]:9092,127.0.0.1'", ""),
        ("bootstrap_servers: kafka:9092, allow_plaintext: true", ""),
        ("bootstrap_servers: kafka:9092, security: {protocol: SSL}", ""),
    ],
)
def test_plaintext_to_another_machine_must_be_allowed(write: Write, kafka: str, told: str) -> None:
    """As plain http must."""
    path = write(f"log: {{kafka: {{{kafka}}}}}\n{GOOD}")
    message = ""
    try:
        load(load_document([path], {}))
    except ConfigurationError as error:
        message = str(error)

    assert message.startswith(f"{path}:1: log.kafka.security.protocol: is {told}, and anyone" if told else "")
    assert bool(message) is bool(told)


@pytest.mark.parametrize(
    "text",
    [
        "root:$6$hunter2:19000:0:99999:7:::\n",
        "root:$6$hunter2:19000: 0\nexport TOKEN=hunter2: 1\nTOKEN='hunter2': 2\n",
        "postgres://user:hunter2@host/db: x\n",
        "? |\n  line one\n  hunter2\n: x\n",
        "machine x login y password hunter2\n",
        "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n",
        "[db]\npassword = hunter2\n",
        "TOKEN=hunter2\n",
        "token: hunter2\norg: hunter2\nchannels: hunter2\nlog: {kafka: hunter2, sqlite: [hunter2]}\n",
        "org: {auth: hunter2, login_url: hunter2 and more}\nchannels: [hunter2 and more]\n",
        "subscribers: {a: hunter2, b: {uses: x, on: x, retry: hunter2, settings: hunter2}}\n",
    ],
)
def test_file_that_is_no_configuration_is_not_shown(write: Write, text: str) -> None:
    """Its keys are, but neither its values nor its lines."""
    lines = errors_of(write, text)

    assert lines
    assert not any("hunter2" in line for line in lines)


@pytest.mark.parametrize(
    "url",
    [
        "https://bus:hunter2@acme.my.salesforce.com",
        "https://hunter2@acme.my.salesforce.com/path",
        "bus:hunter2@acme.my.salesforce.com",
    ],
)
def test_password_in_the_login_url_is_refused_unseen(write: Write, url: str) -> None:
    """It belongs to the section of the login."""
    (line,) = errors_of(write, GOOD.replace("https://acme.my.salesforce.com", url))

    assert line.startswith(
        "streamer.yaml:2: org.login_url: found a value that is not shown; must not contain a"
    )


def test_password_among_the_brokers_is_refused_unseen(write: Write) -> None:
    """The start shows the brokers; a password belongs to their security."""
    servers = "SASL_SSL://bus:hunter2@kafka:9092"
    (line,) = errors_of(write, GOOD + f"log: {{kafka: {{bootstrap_servers: '{servers}'}}}}\n")

    assert "log.kafka.bootstrap_servers: found a value that is not shown; must not contain a user" in line
    assert line.endswith("write them in security")


def test_plugin_setting_is_not_shown(write: Write) -> None:
    """Only its plugin knows whether it is a secret."""
    document = load_document([write("subscribers: {a: {settings: {address: hunter2}}}")], {})

    assert document.shown(("subscribers", "a", "settings", "address")) == "a value that is not shown"
