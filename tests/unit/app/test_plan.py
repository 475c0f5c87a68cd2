"""Mistakes of a configuration are found before any connection, all at once."""

import sys
from pathlib import Path

import pytest

from streamer.app.plan import plan
from streamer.clock import TurnedClock
from streamer.configuration import load_document
from streamer.errors import ConfigurationError
from streamer.events import SubscriberName
from streamer.log.kafka.cluster.clients import Clients
from streamer.settings import KafkaLogSettings
from tests.keys import private_key_pem
from tests.unit.configuration.conftest import GOOD as SMALLEST

GOOD = f"{SMALLEST}    settings: {{webhook_url: https://hooks.slack.com/services/T0/B0/x}}\n"
KEY = "{flow: jwt, client_id: app, username: bus, key: {file: key.pem}}"


def lines_of(tmp_path: Path, text: str) -> list[str]:
    """Return the lines that `text` is refused with, without the file's folder."""
    path = tmp_path / "streamer.yaml"
    path.write_text(text)
    try:
        plan(load_document([path], {"QUERY": "hunter2.."}), TurnedClock())
    except ConfigurationError as error:
        return [line.removeprefix(f"{tmp_path}/") for line in str(error).splitlines()]
    return []


def subscriber(written: str) -> str:
    """Return a configuration whose subscriber has the lines `written`."""
    return GOOD.replace("    uses: slack\n", f"    uses: slack\n    {written}\n")


def test_every_part_is_checked_whatever_is_wrong_with_the_others(tmp_path: Path) -> None:
    """Settings, a plugin's settings, expressions and templates."""
    text = subscriber(
        "max_in_flight: few\n    when: contians(a, b)\n    body: {a: 'x ==', b: [subject, 'y..z']}"
    )
    text = text.replace("webhook_url", "webhok_url").replace("https://acme", "http://acme")

    keys = [line.split(": ")[1] for line in lines_of(tmp_path, text) if line.startswith("streamer.yaml:")]

    assert keys == [
        "subscribers.sales.max_in_flight",
        "org.login_url",
        "subscribers.sales.settings.webhok_url",
        "subscribers.sales.when",
        "subscribers.sales.body.a",
        "subscribers.sales.body.b.1",
    ]


def test_tracing_without_its_packages_says_how_to_install_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the check, and not when the first span is sent."""
    text = GOOD + "tracing: {ratio: 1}\n"
    assert lines_of(tmp_path, text) == []
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    [line] = lines_of(tmp_path, text)
    assert line.startswith("streamer.yaml:10: tracing: needs packages that are not installed: ")
    assert line.endswith("pip install 'streamer-salesforce[otel]'")


def test_missing_certificate_of_a_collector_is_named(tmp_path: Path) -> None:
    """Requests would fail one after the other."""
    text = GOOD + "tracing: {otlp: {ca_file: nowhere.pem}}\n"
    assert lines_of(tmp_path, text) == ["streamer.yaml:10: tracing.otlp.ca_file: this file does not exist"]


@pytest.mark.parametrize(
    ("otlp", "said"),
    [
        ("{endpoint: 'collector:4318'}", "must be an http or https address"),
        ("{endpoint: 'https://a:b@c'}", "must have no credentials"),
        (
            "{endpoint: 'http://c', headers: {a: b}}",
            "headers can hold secrets, so endpoint must use",
        ),
        ("{headers: {'a b': c}}", "tracing.otlp.headers.a b"),
        ('{headers: {a: "b\\nc"}}', "must be printable ASCII"),
    ],
)
def test_collector_that_can_not_be_used_is_refused(tmp_path: Path, otlp: str, said: str) -> None:
    """With the reason, and never with a secret."""
    [line] = lines_of(tmp_path, f"{GOOD}tracing: {{otlp: {otlp}}}\n")
    assert line.startswith("streamer.yaml:10: tracing.otlp")
    assert said in line


@pytest.mark.parametrize(
    ("when", "reason", "column"),
    [
        ("data.fields.", "the expression ends too soon", 13),
        ("data.fields.X == ", "the expression ends too soon", 18),
        ("data..fields", ". is not expected here", 6),
        ("data.fields.Amount > 100", "100 is not expected here; write `100`, in backticks", 22),
        ("data ~ x", "unknown token ~", 6),
    ],
)
def test_caret_stands_under_the_column_of_a_mistake(
    tmp_path: Path, when: str, reason: str, column: int
) -> None:
    """On a line of its own, below the expression."""
    said, expression, caret = lines_of(tmp_path, subscriber(f'when: "{when}"'))

    assert said == (
        f"streamer.yaml:8: subscribers.sales.when: is not a JMESPath expression: {reason} (column {column})"
    )
    assert expression == f"    {when}"
    assert caret.index("^") == 4 + column - 1


@pytest.mark.parametrize("key", ["when", "body"])
def test_template_in_place_of_an_expression_is_told_where_it_belongs(tmp_path: Path, key: str) -> None:
    """People who know Jinja2 try it in a body first."""
    said, *_ = lines_of(tmp_path, subscriber(f"{key}: '{{{{ data.fields.Name }}}}'"))

    assert (
        "a template's {{ }} works only in text and content; write only the expression between the braces"
        in said
    )
    assert ("join('', [a, b])" in said) is (key == "body")


def test_caret_stands_in_the_line_of_a_long_expression(tmp_path: Path) -> None:
    """Which can have several."""
    _, expression, caret = lines_of(tmp_path, subscriber("when: |-\n      data\n      .fields..x\n      .y"))

    assert (expression, caret) == ("    .fields..x", "            ^")


@pytest.mark.parametrize("place", ["org", "channel"])
@pytest.mark.parametrize(
    ("pubsub", "said"),
    [
        (
            "{endpoint: http://pubsub.acme.com:7443}",
            "4: org.pubsub.endpoint: is http://pubsub.acme.com, so others in the network could read",
        ),
        ("{ca_file: /nowhere/ca.pem}", "4: org.pubsub.ca_file: /nowhere/ca.pem can't be used: No such file"),
    ],
)
def test_address_of_the_pubsub_api_is_checked_where_it_is_used(
    tmp_path: Path, place: str, pubsub: str, said: str
) -> None:
    """Before anything connects."""
    text = GOOD.replace("  auth:", f"  transport: cometd\n  pubsub: {pubsub}\n  auth:")
    assert lines_of(tmp_path, text) == []

    if place == "org":
        text = text.replace("transport: cometd", "transport: pubsub")
    else:
        text = text.replace("[/data/ChangeEvents]", "[{path: /data/ChangeEvents, transport: pubsub}]")
    [line] = lines_of(tmp_path, text)
    assert line.startswith(f"streamer.yaml:{said}")


def test_expression_that_looks_like_a_secret_is_not_shown(tmp_path: Path) -> None:
    """A password that somebody wrote instead of an expression appears in no log."""
    said = lines_of(tmp_path, subscriber("when: password=hunter2"))

    place = "streamer.yaml:8: subscribers.sales.when"
    assert said == [f"{place}: is not a JMESPath expression: mistake at column 9"]


def test_expression_from_elsewhere_is_not_shown(tmp_path: Path) -> None:
    """A variable can hold a secret by mistake."""
    assert lines_of(tmp_path, subscriber("when: ${QUERY}")) == [
        "streamer.yaml:8: subscribers.sales.when: is not a JMESPath expression"
    ]


def test_name_that_no_event_has_is_refused_in_a_template(tmp_path: Path) -> None:
    """Each event would become a dead letter."""
    loop = "{% for x in data.fields %}{{ x }}{{ range(2) }}{% endfor %}"
    text = f"text: '{{{{ subjekt }}}} {{{{ Amount | money }}}} {loop}'"
    place = "streamer.yaml:8: subscribers.sales.text: an event has no member with this name: "
    known = "known: data, id, source, subject, time, type"

    assert lines_of(tmp_path, subscriber(text)) == [
        f"{place}Amount; fields of the record are in data.fields; {known}",
        f"{place}subjekt; did you mean subject? {known}",
    ]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://acme.my.salesforce.com", True),
        ("http://127.0.0.1:8808\n  transport: cometd", False),
        ("http://acme.my.salesforce.com\n  allow_http: true", False),
    ],
)
def test_secret_that_would_travel_in_the_clear_is_refused(tmp_path: Path, url: str, told: bool) -> None:  # noqa: FBT001 - a table of cases
    """By `check` as by `run`."""
    lines = lines_of(tmp_path, GOOD.replace("https://acme.my.salesforce.com", url))

    assert [line.partition(" is ")[0] for line in lines] == ["streamer.yaml:2: org.login_url:"] * told


@pytest.mark.parametrize("key", ["no key", "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----"])
def test_key_that_cannot_sign_is_refused(tmp_path: Path, key: str) -> None:
    """And not repeated."""
    (tmp_path / "key.pem").write_text(key)
    text = GOOD.replace("{flow: client_credentials, client_id: app, client_secret: sesame}", KEY)

    (line,) = lines_of(tmp_path, text)
    assert line.startswith("streamer.yaml:3: org.auth.key: is not an RSA private key in PEM")
    assert "hunter2" not in line


def test_key_that_can_sign_is_good(tmp_path: Path) -> None:
    """It is tried, without a connection."""
    (tmp_path / "key.pem").write_text(private_key_pem())
    text = GOOD.replace("{flow: client_credentials, client_id: app, client_secret: sesame}", KEY)

    assert lines_of(tmp_path, text) == []


def test_plugin_whose_secret_is_missing_is_checked_all_the_same(tmp_path: Path) -> None:
    """The missing variable is told once, with the plugin's other mistakes."""
    settings = '{webhook_url: "${NOWHERE}", timeout_s: -1}'
    text = GOOD.replace("{webhook_url: https://hooks.slack.com/services/T0/B0/x}", settings)

    assert [line.split(": ")[1] for line in lines_of(tmp_path, text)] == [
        "subscribers.sales.settings.webhook_url",
        "subscribers.sales.settings.timeout_s",
    ]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("linger.sm: 5", 'linger.sm: librdkafka says: No such configuration property: "linger.sm"'),
        ("group.id: mine", "group.id: must not be set: set log.kafka.prefix instead"),
        ('client.dns.lookup: "${QUERY}"', "client.dns.lookup: librdkafka refuses this option"),
    ],
)
def test_kafka_option_is_refused_by_name(tmp_path: Path, options: str, told: str) -> None:
    """Before a client connects; a value from elsewhere is not repeated."""
    text = f"log: {{kafka: {{bootstrap_servers: localhost, options: {{{options}}}}}}}\n{GOOD}"

    assert lines_of(tmp_path, text) == [f"streamer.yaml:1: log.kafka.options.{told}"]


def test_topic_that_stands_for_two_entities_is_refused_at_its_key(tmp_path: Path) -> None:
    """Before anything is written to the topic."""
    names = "topic_names: {cdc.Account: crm, cdc.Contact: crm}, topics: {event: streamer.audit}"
    lines = lines_of(tmp_path, f"log: {{kafka: {{bootstrap_servers: localhost, {names}}}}}\n{GOOD}")

    assert [line.partition(": is also")[0].partition(": ")[2].partition(":")[0] for line in lines] == [
        "log.kafka.topics.event",
        "log.kafka.topic_names.cdc.Contact",
    ]


def test_topic_that_all_objects_share_needs_subjects_of_records(tmp_path: Path) -> None:
    """The objects' schemas can't follow each other in the topic's one subject."""

    def told(subjects: str, ca_file: str = "") -> list[str]:
        registry = f"{{url: 'http://localhost:8081', subjects: {subjects}{ca_file}}}"
        kafka = (
            f"bootstrap_servers: localhost, format: avro, topics: {{cdc: crm}}, schema_registry: {registry}"
        )
        return lines_of(tmp_path, f"log: {{kafka: {{{kafka}}}}}\n{GOOD}")

    (line,) = told("topic")
    assert line.startswith("streamer.yaml:1: log.kafka.topics.cdc: all events of this kind share a topic")
    assert told("topic-record") == told("record") == []
    (line,) = told("record", f", ca_file: {tmp_path / 'missing.pem'}")
    assert "log.kafka.schema_registry.ca_file" in line


def test_token_provider_that_is_not_installed_is_refused(tmp_path: Path) -> None:
    """Before any client asks for a token."""
    security = "{protocol: SASL_SSL, mechanism: OAUTHBEARER, oauth: {provider: theirs}}"
    (line,) = lines_of(
        tmp_path, f"log: {{kafka: {{bootstrap_servers: localhost, security: {security}}}}}\n{GOOD}"
    )

    assert line.startswith("streamer.yaml:1: log.kafka: no installed package has the token provider theirs")


def test_kafka_settings_that_no_client_takes_are_refused(tmp_path: Path) -> None:
    """As a start refuses them."""
    kafka = "log: {kafka: {bootstrap_servers: localhost, session_timeout_s: 5000}}"
    (line,) = lines_of(tmp_path, f"{kafka}\n{GOOD}")

    assert line.startswith("streamer.yaml:1: log.kafka: librdkafka refuses the settings: ")


def test_librdkafka_takes_the_defaults() -> None:
    """So `check` asks it only about keys that are set."""
    Clients(settings=KafkaLogSettings(bootstrap_servers="localhost:9092")).verify()


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (
            "when: data.field.StageName == 'Won'",
            "when: the data of an event has no member with this name: data.field; did",
        ),
        (
            "body: {a: data.payload}",
            "body.a: the data of an event has no member with this name: data.payload; did you",
        ),
        (
            "text: '{{ data.field.Name }}'",
            "text: the data of an event has no member with this name: data.field; did you",
        ),
        ("text: '{{ data[\"feilds\"] }}'", "data.feilds; did you mean data.fields?"),
    ],
)
def test_second_name_of_a_path_is_known_by_the_kind_of_event(tmp_path: Path, written: str, told: str) -> None:
    """A predicate with a letter too few never holds, and an event would be lost in silence."""
    assert told in lines_of(tmp_path, subscriber(written))[0]


@pytest.mark.parametrize(
    "written",
    [
        "when: data.changed_fields",
        "text: '{{ data.get(\"x\") }}'",
        "text: '{% set data = {} %}{{ data.x }}'",
        "body: {a: data.snapshot.id}",
    ],
)
def test_members_of_data_that_there_are_pass(tmp_path: Path, written: str) -> None:
    """Those of any kind of event that the subscriber takes."""
    assert lines_of(tmp_path, subscriber(written)) == []


def test_predicate_from_outside_is_masked_for_people(tmp_path: Path) -> None:
    """It can be a secret, as any value from the environment."""
    path = tmp_path / "streamer.yaml"
    shown = {}
    for when in ("type == 'x'", "${QUERY}"):
        path.write_text(subscriber(f'when: "{when}"'))
        checked = plan(load_document([path], {"QUERY": "type == 'y'"}), TurnedClock())
        shown[when] = checked.shown_when(SubscriberName("sales"))

    assert shown == {"type == 'x'": "type == 'x'", "${QUERY}": "***"}
