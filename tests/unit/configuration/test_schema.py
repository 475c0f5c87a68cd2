"""The JSON Schema of the configuration, as an editor uses it."""

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from jsonschema import Draft7Validator
from pydantic import BaseModel, ConfigDict, Field

from streamer.app.plugins import lookup_models, settings_models
from streamer.configuration.schema import FILE, VARIABLE, configuration_schema
from streamer.events import JsonObject

SCHEMA = configuration_schema(settings_models(), lookup_models())
WORDS = {
    *("Start", "StartWord", "Transport", "LargeText", "PublishTransport", "OutcomeKind", "How"),
    *("UnreadableBytes", "OwnChanges", VARIABLE, FILE),
}
"""Definitions that have no keys."""


def configuration(**settings: Any) -> JsonObject:
    """Return a configuration whose one subscriber uses the ERP with `settings`."""
    auth = {"flow": "client_credentials", "client_id": "app", "client_secret": "sesame"}
    return {
        "org": {"login_url": "https://acme.my.salesforce.com", "auth": auth},
        "channels": ["/data/ChangeEvents", {"path": "/event/Order_Placed__e", "start": "earliest"}],
        "subscribers": {
            "crm": {"uses": "erp", "on": "*", "settings": {"url": "https://erp.acme.com", **settings}}
        },
    }


def is_valid(whole: JsonObject, schema: JsonObject = SCHEMA) -> bool:
    """Return true when an editor shows no mistake in `whole`."""
    return Draft7Validator(schema).is_valid(whole)


def test_schema_is_one() -> None:
    """By the rules of its own dialect."""
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", sorted({*SCHEMA["$defs"]} - WORDS))
def test_every_key_is_described(name: str) -> None:
    """An editor and the reference have a sentence for each, whatever the section."""
    section = SCHEMA["$defs"][name]

    assert section["description"]
    assert [key for key, each in section["properties"].items() if not each.get("description")] == []


def test_long_patterns_name_their_characters() -> None:
    r"""`\w{0,79}` counts the letters of all scripts: such a pattern takes megabytes, and no name has them."""
    patterns = list(_patterns(SCHEMA))

    assert len(patterns) > 10
    assert [each for each in patterns if re.search(r"\\[wds]\{", each, re.IGNORECASE)] == []


def _patterns(schema: object) -> Iterator[str]:
    """Yield each pattern in a JSON Schema."""
    if isinstance(schema, list):
        for each in schema:
            yield from _patterns(each)
    elif isinstance(schema, dict):
        for key, each in schema.items():
            if key == "pattern" and isinstance(each, str):
                yield each
            elif key == "patternProperties":
                yield from each
            yield from _patterns(each)


@pytest.mark.parametrize("indirect", ["${NAME}", "${NAME:-5}", {"file": "/run/secrets/x"}])
def test_any_single_value_can_come_from_elsewhere(indirect: object) -> None:
    """Numbers, switches and choices too."""
    whole = configuration(
        timeout_s=indirect, allow_http=indirect, method=indirect, outcomes={"404": indirect}
    )
    whole["org"]["auth"]["flow"] = whole["grace_period_s"] = whole["subscribers"]["crm"]["on"] = indirect
    whole["log"] = {"kafka": {"bootstrap_servers": indirect, "options": {"client.rack": indirect}}}

    assert is_valid(whole)


Change = Callable[[JsonObject], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: whole.pop("org"),
        lambda whole: whole.update(chanels=[]),
        lambda whole: whole.update(grace_period_s="soon"),
        lambda whole: whole.update(grace_period_s=0),
        lambda whole: whole["org"]["auth"].update(flow="jwt"),
        lambda whole: whole["subscribers"].update({"Not A Name": whole["subscribers"]["crm"]}),
        lambda whole: whole["subscribers"]["crm"].update(uses="erb"),
        lambda whole: whole["subscribers"]["crm"].update(uses="slack"),
        lambda whole: whole["subscribers"]["crm"].pop("settings"),
        lambda whole: whole["subscribers"]["crm"]["settings"].update(urk="x"),
        lambda whole: whole["subscribers"]["crm"]["settings"].update(auth={"kind": "basic"}),
        lambda whole: whole["subscribers"]["crm"]["settings"].update(outcomes={"4o4": "skip"}),
    ],
)
def test_mistake_is_shown(change: Change) -> None:
    """The settings belong to the plugin that `uses` names."""
    whole = configuration()
    assert is_valid(whole)
    change(whole)

    assert not is_valid(whole)


class File(BaseModel):
    """Part of a plugin's settings that does not name a secret's file."""

    name: str


class Odd:
    """Something that JSON Schema can't describe."""


class BellSettings(BaseModel):
    """Settings of another author's plugin; one class has the name of one of ours."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    class SubscriberSettings(BaseModel):
        """Rate of the bell."""

        model_config = ConfigDict(extra="forbid")

        per_minute: int

    loudness: int = Field(default=5, ge=1, le=10)
    rate: SubscriberSettings | None = None
    odd: Odd | None = None
    file: File | None = None
    title: Literal["Sir", "Madam"] = "Sir"


@pytest.mark.parametrize(
    "mistake",
    [{"loudness": 11}, {"rate": {"per_second": 1}}, {"title": "Doctor"}, {"url": "https://bell.acme.com"}],
)
def test_settings_of_a_foreign_plugin_are_checked(mistake: JsonObject) -> None:
    """By its own model, beside those of the plugins of the package."""
    schema = configuration_schema({**settings_models(), "bell": BellSettings}, lookup_models())
    whole = configuration()
    good = {
        "loudness": 10,
        "rate": {"per_minute": 1},
        "odd": {"any": 1},
        "file": {"name": "a"},
        "title": "Sir",
    }
    whole["subscribers"]["desk"] = {"uses": "bell", "on": "*", "settings": good}
    assert is_valid(whole, schema)

    whole["subscribers"]["desk"]["settings"] = {**good, **mistake}
    assert not is_valid(whole, schema)


def test_service_of_a_lookup_is_checked() -> None:
    """By the model of what asks it."""
    whole = configuration()
    http = {"url": "https://crm.acme.com/{id}", "auth": {"kind": "bearer", "token": "${TOKEN}"}}
    lookup = {"id": "subject", "fields": ["name"], "http": http}
    whole["subscribers"]["crm"]["enrich"] = {"customer": lookup}
    assert is_valid(whole)

    whole["subscribers"]["crm"]["enrich"] = {"customer": {**lookup, "http": {**http, "urk": "x"}}}
    assert not is_valid(whole)


def test_editor_writes_no_whole_section() -> None:
    """A default that is a section would be inserted when its key is completed."""
    assert [each for each in _schemas(SCHEMA) if isinstance(each.get("default"), dict | list)] == []


def _schemas(part: Any) -> Iterator[JsonObject]:
    if isinstance(part, dict):
        yield part
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else []:
        yield from _schemas(each)
