"""From entry points to checked subscribers."""

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Self

import pytest
from pydantic import BaseModel, model_validator

from streamer.app import plugins
from streamer.app.plugins import GROUP, installed, lookup_models, make_subscriber, settings_models
from streamer.clock import TurnedClock
from streamer.configuration import load_document
from streamer.errors import ConfigurationError
from streamer.events import SubscriberName
from streamer.ports import PluginContext, Subscriber
from streamer.settings import SubscriberSettings
from subscribers.erp import Erp


def made(tmp_path: Path, uses: str, settings: str) -> Subscriber:
    """Make the subscriber `crm` of a configuration file."""
    path = tmp_path / "streamer.yaml"
    path.write_text(f"subscribers:\n  crm:\n    uses: {uses}\n    on: '*'\n    settings: {settings}\n")
    document = load_document([path], {"SECRET": "hunter2"})
    return make_subscriber(
        SubscriberSettings.model_validate(document.at(["subscribers", "crm"])),
        PluginContext(name=SubscriberName("crm"), clock=TurnedClock()),
        document,
    )


def error_of(tmp_path: Path, uses: str, settings: str) -> str:
    """Return what the configuration is refused with, without its folder."""
    with pytest.raises(ConfigurationError) as caught:
        made(tmp_path, uses, settings)
    return str(caught.value).removeprefix(f"{tmp_path}/")


def test_plugins_of_the_package_are_installed() -> None:
    """By their entry points, as anybody's."""
    ours = {"erp", "file", "fulfillment", "kafka", "mqtt", "salesforce", "slack", "stdout", "webhook"}
    assert ours <= set(installed())


def test_subscriber_is_made_of_its_settings(tmp_path: Path) -> None:
    """Without a connection."""
    assert made(tmp_path, "erp", "{url: 'https://erp.acme.com/api'}")


def test_unknown_plugin_names_those_that_are_installed(tmp_path: Path) -> None:
    """And where it is asked for."""
    error = error_of(tmp_path, "erb", "{}")

    assert error.startswith("streamer.yaml:3: subscribers.crm.uses: found 'erb'; installed plugins: erp, ")


def test_own_plugin_is_found_in_the_own_package_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check reads no other package's entry points, and no package can replace a plugin of Streamer."""

    def others(**_: Any) -> list[EntryPoint]:
        raise AssertionError("the entry points of other packages were read")

    monkeypatch.setattr(plugins, "entry_points", others)

    assert made(tmp_path, "erp", "{url: 'https://erp.acme.com/api'}")
    assert not plugins.uses_org("erp")


def test_no_package_replaces_a_plugin_of_streamer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schema describes what runs."""

    def others(group: str) -> list[EntryPoint]:
        return [EntryPoint(name=name, value=f"{__name__}:Careless", group=group) for name in ("erp", "http")]

    own = settings_models()["erp"], lookup_models()["http"]
    monkeypatch.setattr(plugins, "entry_points", others)

    assert (settings_models()["erp"], lookup_models()["http"]) == own


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("{}", "streamer.yaml:5: subscribers.crm.settings.url: is missing"),
        ("{url: x, urk: y}", "streamer.yaml:5: subscribers.crm.settings.urk: no such key; did you mean url?"),
        (
            "{url: 'https://x', timeout_s: '${SECRET}'}",
            "streamer.yaml:5: subscribers.crm.settings.timeout_s: found a value that is not shown",
        ),
        (
            "{url: 'https://x', signing: {secrets: ['${SECRET}']}}",
            "settings.signing.secrets.0: found a value that is not shown; is not a signing secret",
        ),
        (
            "{url: 'https://x', auth: {kind: bearer, token: }}",
            "streamer.yaml:5: subscribers.crm.settings.auth.token: found nothing; must be a text",
        ),
        (
            "{url: 'https://x', outcomes: {4o4: skip}}",
            "streamer.yaml:5: subscribers.crm.settings.outcomes.4o4: 4o4 is neither a status",
        ),
    ],
)
def test_settings_are_the_plugins_own_to_judge(tmp_path: Path, settings: str, expected: str) -> None:
    """Its model decides; the file and the line are ours to say."""
    error = error_of(tmp_path, "erp", settings)

    assert expected in error
    assert "hunter2" not in error


@pytest.mark.parametrize("value", ["no_such_module:Plugin", "streamer.app.plugins:NoSuchName"])
def test_plugin_that_cannot_be_loaded_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """A package that is half installed is a mistake of the configuration."""

    def broken(**_: Any) -> list[EntryPoint]:
        return [EntryPoint(name="half", value=value, group=GROUP)]

    monkeypatch.setattr(plugins, "entry_points", broken)

    assert "subscribers.crm.uses: this plugin can't be loaded: " in error_of(tmp_path, "half", "{}")


def test_plugin_that_ends_the_process_when_it_is_loaded_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script does so when it is imported."""
    (tmp_path / "a_script.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)

    def broken(**_: Any) -> list[EntryPoint]:
        return [EntryPoint(name="half", value="a_script:Plugin", group=GROUP)]

    monkeypatch.setattr(plugins, "entry_points", broken)

    assert "this plugin can't be loaded: SystemExit: 3" in error_of(tmp_path, "half", "{}")
    assert not plugins.uses_org("half")
    with pytest.raises(ConfigurationError, match="the installed plugin half can't be loaded"):
        settings_models()


def test_settings_of_every_installed_plugin_are_found() -> None:
    """For the schema."""
    assert settings_models()["erp"] is Erp.Settings


def test_installed_plugin_that_cannot_be_loaded_has_no_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, instead of being left out in silence."""

    def broken(**_: Any) -> list[EntryPoint]:
        return [EntryPoint(name="half", value="no_such_module:Plugin", group=GROUP)]

    monkeypatch.setattr(plugins, "entry_points", broken)
    with pytest.raises(
        ConfigurationError,
        match=r"the installed plugin half can't be loaded: .*; repair or uninstall the plugin's package",
    ):
        settings_models()


class Careless:
    """A plugin whose settings are checked by code that has a mistake."""

    class Settings(BaseModel):
        """Fail in the way that is written in them."""

        way: str

        @model_validator(mode="after")
        def check(self) -> Self:
            """Fail."""
            errors = {"type": TypeError, "key": KeyError, "silent": ValueError, "exit": SystemExit}
            raise errors[self.way]("" if self.way == "silent" else "hunter2")

    def deliver(self) -> None:
        """Do nothing."""


class Bare:
    """A class that is not a plugin."""


@pytest.mark.parametrize(
    ("plugin", "way", "expected"),
    [
        ("Careless", "type", "TypeError"),
        ("Careless", "key", "KeyError"),
        ("Careless", "exit", "SystemExit"),
    ],
)
def test_plugin_that_fails_to_check_its_settings_is_a_mistake_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: str, way: str, expected: str
) -> None:
    """It is named with its place, and what it says is not repeated: it may hold what the settings hold."""

    def broken(**_: Any) -> list[EntryPoint]:
        return [EntryPoint(name="odd", value=f"{__name__}:{plugin}", group=GROUP)]

    monkeypatch.setattr(plugins, "entry_points", broken)

    place = "streamer.yaml:5: subscribers.crm.settings"
    sentence = (
        f"{place}: the plugin failed while it checked its settings: "
        f"the plugin raised {expected} in test_plugins.py, line "
    )
    error = error_of(tmp_path, "odd", f"{{way: {way}}}")
    assert (error.rstrip("0123456789"), "hunter2" in error) == (sentence, False)


def test_class_that_is_no_plugin_is_told_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its settings are looked at."""

    def bare(**_: Any) -> list[EntryPoint]:
        return [EntryPoint(name="odd", value=f"{__name__}:Bare", group=GROUP)]

    monkeypatch.setattr(plugins, "entry_points", bare)

    assert error_of(tmp_path, "odd", "{}") == (
        f"streamer.yaml:3: subscribers.crm.uses: this is not a plugin: {__name__}:Bare has no Settings "
        "and no deliver (see docs/plugins.md)"
    )


def test_plugin_that_refuses_without_a_word_is_still_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the place of its settings."""

    def silent(**_: Any) -> list[EntryPoint]:
        return [EntryPoint(name="odd", value=f"{__name__}:Careless", group=GROUP)]

    monkeypatch.setattr(plugins, "entry_points", silent)

    assert error_of(tmp_path, "odd", "{way: silent}") == (
        "streamer.yaml:5: subscribers.crm.settings: is not allowed"
    )


class Endless:
    """A plugin that takes batches of no size."""

    class Settings(BaseModel):
        """None."""

    batch_size = 0

    def __init__(self, settings: BaseModel, context: PluginContext) -> None:
        """Do nothing."""

    async def deliver(self) -> None:
        """Do nothing."""

    async def deliver_many(self) -> None:
        """Do nothing."""


def test_plugin_with_impossible_batches_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found before anything is delivered."""

    def endless(**_: Any) -> list[EntryPoint]:
        return [EntryPoint(name="odd", value=f"{__name__}:Endless", group=GROUP)]

    monkeypatch.setattr(plugins, "entry_points", endless)

    assert error_of(tmp_path, "odd", "{}") == (
        "streamer.yaml:3: subscribers.crm.uses: this plugin has a mistake: the plugin's batch_size "
        "must be a whole number from 1 to 10000"
    )


def test_lookup_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old editable installation lacks its entry point."""

    def none(**_: Any) -> list[EntryPoint]:
        return []

    monkeypatch.setattr(plugins, "entry_points", none)
    monkeypatch.setattr(plugins, "distributions", none)
    with pytest.raises(ConfigurationError, match="install Streamer again"):
        lookup_models()
