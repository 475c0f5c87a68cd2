"""The configuration in effect: whole, without secrets, and readable by the loader."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, Secret, SecretBytes, SecretStr

from streamer.configuration import load, load_document
from streamer.configuration.effective import effective_configuration
from streamer.events import SubscriberName
from streamer.settings import KafkaLogSettings, LogSettings, SqliteLogSettings
from tests.unit.configuration.conftest import GOOD, Write

CANARY = "canary-4711"
SALES = SubscriberName("sales")


@dataclass
class Account:
    """A part of a plugin's settings that is not a model."""

    name: str
    password: str


class Everything(BaseModel):
    """A plugin's settings, whose author typed some secrets as such and others not."""

    model_config = ConfigDict(extra="allow")

    typed: SecretStr = SecretStr(CANARY)
    raw: SecretBytes = SecretBytes(CANARY.encode())
    number: Secret[int] = Secret[int](4711)
    api_key: str = CANARY
    password: str | None = None
    by_alias: str = Field(default=CANARY, alias="clientSecret")
    accessKey: str = CANARY  # noqa: N815 - as some targets write it
    connection_string: str = f"AccountName=a;Account={CANARY}"
    account: Account = Account(name="a", password=CANARY)
    raw_bytes: bytes = CANARY.encode() + b"\xff"
    headers: dict[str, str] = Field(default={"X-Tenant": CANARY, "Authorization": f"Bearer {CANARY}"})
    credentials: dict[str, Any] = Field(default={"user": [CANARY], "nested": {"a": CANARY}})
    proxy: str = f"http://user:{CANARY}@proxy.acme.com:3128"
    bare_proxy: str = f"user:{CANARY}@proxy.acme.com:3128"
    token_only: AnyUrl = AnyUrl(f"https://{CANARY}@acme.com/path")
    slashed: str = f"https://user:{CANARY}/p@ss@acme.com/path"
    query: str = f"https://acme.com/in?code={CANARY}"
    fragment: str = f"see https://acme.com/in#{CANARY} there"
    hook: str = "https://hooks.acme.com/in/canary-4711-abcdef/on"
    text: str = f"password={CANARY}"


def shown(path: Path, plugin: BaseModel | None = None, **environ: str) -> str:
    """Return the effective configuration of the file at `path`."""
    document = load_document([path], environ)
    own = {SALES: plugin} if plugin else {}
    return effective_configuration(load(document), own, document)


@pytest.mark.parametrize("name", Everything.model_fields)
def test_secret_of_a_plugin_is_masked_wherever_it_is(write: Write, name: str) -> None:
    """By its type, its name, its form or its place in an address."""
    text = shown(write(GOOD), Everything.model_validate({"webhookToken": CANARY}))
    settings = yaml.safe_load(text)["subscribers"]["sales"]["settings"]

    key = Everything.model_fields[name].alias or name
    assert "canary" not in text
    assert "4711" not in text
    assert settings[key] is None if name == "password" else "***" in str(settings[key])


def test_what_is_no_secret_of_an_address_stays(write: Write) -> None:
    """Host, port and path help an operator."""
    text = shown(write(GOOD), Everything.model_validate({}))

    for part in (
        "***@proxy.acme.com:3128",
        "https://***@acme.com/path",
        "https://acme.com/in?***",
        "https://hooks.acme.com/in/***/on",
    ):
        assert part in text


def test_value_from_the_environment_or_a_file_is_masked(write: Write, tmp_path: Path) -> None:
    """It could be a secret, whatever its key and wherever it is used."""
    (tmp_path / "prefix").write_text(f"{CANARY}-prefix\n")
    path = write(
        f"{GOOD}    when: contains(subject, '${{WHEN}}')\n    text: ${{TEXT}}\n"
        "    max_parked: ${PARKED}\n"
        "log:\n  kafka:\n    bootstrap_servers: localhost\n    prefix: {file: prefix}\n"
        "    options:\n      client.rack: ${RACK}\n"
    )
    text = shown(path, WHEN=CANARY, TEXT=CANARY, PARKED="4711", RACK=CANARY)

    subscriber = yaml.safe_load(text)["subscribers"]["sales"]
    assert "canary" not in text
    assert (subscriber["when"], subscriber["text"], subscriber["max_parked"]) == ("***", "***", "***")


def test_value_from_the_environment_is_masked_where_a_plugin_moved_it(write: Write) -> None:
    """Its text is known, so it is found under another key, too."""
    path = write(f"{GOOD}    settings: {{name: '${{NAME}}'}}\n")
    moved = Everything.model_validate({"elsewhere": f"made of {CANARY}"})

    text = shown(path, moved, NAME=CANARY)
    assert "canary" not in text
    assert yaml.safe_load(text)["subscribers"]["sales"]["settings"]["elsewhere"] == "***"


@pytest.mark.parametrize(
    "option",
    [
        "sasl.password",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.assertion.private.key.pem",
        "ssl.key.pem",
        "ssl.key.password",
        "ssl.keystore.password",
    ],
)
def test_secret_option_of_librdkafka_is_masked(write: Write, option: str) -> None:
    """Also those that the start refuses."""
    document = load_document([write(GOOD)])
    kafka = KafkaLogSettings(bootstrap_servers="localhost", options={option: CANARY, "client.rack": "eu-1a"})
    settings = load(document).model_copy(update={"log": LogSettings(kafka=kafka)})
    text = effective_configuration(settings, {}, document)

    assert yaml.safe_load(text)["log"]["kafka"]["options"] == {option: "***", "client.rack": "eu-1a"}


def test_secrets_of_the_own_sections_are_masked(write: Write) -> None:
    """Those of the org, of Kafka and of the admin API."""
    path = write(
        GOOD.replace("sesame", CANARY).replace(
            "  auth:", f"  proxy: http://ann:{CANARY}@proxy.acme.com:3128\n  auth:"
        )
        + f"    body: {{token: {CANARY}}}\n"
        + f"admin: {{token: {CANARY}-of-the-api}}\n"
        + "log:\n  kafka:\n    bootstrap_servers: SASL_SSL://localhost\n    security:\n"
        + "      protocol: SASL_SSL\n      mechanism: PLAIN\n      username: u\n"
        + f"      password: {CANARY}\n      key_password: {CANARY}\n"
    )
    assert "canary" not in shown(path)


def test_every_default_is_filled_in(write: Write) -> None:
    """The log that nobody named, too."""
    whole = yaml.safe_load(shown(write(GOOD)))

    assert whole["log"]["sqlite"] == SqliteLogSettings().model_dump(mode="json")
    assert whole["subscribers"]["sales"]["breaker"]["window"] == 50
    assert whole["admin"]["port"] == 9465


def test_name_of_a_subscriber_hides_nothing(write: Write) -> None:
    """It stays visible although a secret has the same name elsewhere."""
    text = shown(write(GOOD.replace("sales:", "webhook:")))

    assert yaml.safe_load(text)["subscribers"]["webhook"]["uses"] == "slack"


def test_output_reads_back_as_it_was(write: Write) -> None:
    """Words of YAML 1.1, times, numbers in quotes and expressions included."""
    path = write(
        GOOD.replace("sesame", "'***'").replace("login_url", "instance_hosts: [b.com, a.com]\n  login_url")
        + '    start: 2026-01-01T00:00:00Z\n    when: "data.fields.Items[?a==`1`].{x:@}"\n'
        + "    body: {yes: on, off: \"'7'\", id: 'null', nested: [{a: b}]}\n"
        + '    text: "a\\n  b: # {{ x }}"\n'
        + "    rate: {per_second: 2}\nadmin: null\n"
    )
    once = write(shown(path))

    assert load(load_document([once])) == load(load_document([path])).model_copy(
        update={"log": LogSettings(sqlite=SqliteLogSettings())}
    )
    assert shown(once) == shown(path)
    assert "\n    on:\n" in shown(once)
