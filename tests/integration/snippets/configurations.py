"""Blocks of YAML as configurations: whole ones, parts of one, and parts of one subscriber."""

import re
import tomllib
from base64 import b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamer.app.plan import Plan, plan
from streamer.app.plugins import installed
from streamer.clock import TurnedClock
from streamer.configuration import load_document
from streamer.configuration.reading import Yaml12Words
from streamer.settings import Settings, SubscriberSettings
from tests.in_process import offer_plugins
from tests.integration.snippets.blocks import Block
from tests.keys import certificate_pem, private_key_pem

ORG = """\
org:
  login_url: https://acme.my.salesforce.com
  client_name: acme-erp-bus
  auth: {flow: client_credentials, client_id: app, client_secret: an-invented-secret}
"""
CHANNELS = "channels: [/data/ChangeEvents, /event/Order_Placed__e, /event/Invoice_Posted__e]\n"
SUBSCRIBER = """\
subscribers:
  shown:
    uses: erp
    on: salesforce.cdc.Opportunity.updated
    settings: {url: https://erp.acme.com/api/invoices}
"""
# Their values are of a certain form; those of all others are any text.
_VALUES = {
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/x",
    "TEAMS_WEBHOOK_URL": "https://acme.webhook.office.com/workflows/x",
    "SIGNING_SECRET": f"whsec_{b64encode(b'x' * 32).decode()}",
    "OLD_SIGNING_SECRET": f"whsec_{b64encode(b'y' * 32).decode()}",
    "SF_PRIVATE_KEY": private_key_pem(),
    "SF_LOGIN_URL": "http://localhost:8808",
}
_VARIABLE = re.compile(r"\$\{(\w+)(?::-[^}]*)?\}")
_FILE = re.compile(r"\bfile: *([\w./-]+)")
_SECRETS = re.compile("/run/(?:secrets/streamer|credentials/streamer.service)/")
_NAMED = re.compile(r"^`([\w./-]+\.\w+)`")


class _Loader(Yaml12Words, yaml.SafeLoader):
    """Loader of an editor, which leaves variables as they are."""


def data_of(block: Block) -> Any:
    """Return the data of a block of YAML, in which variables stand as they are written."""
    return yaml.load(block.text, _Loader)  # noqa: S506 - a safe loader


def is_configuration(data: Any) -> bool:
    """Return true for a configuration, or sections of one."""
    return isinstance(data, dict) and data.keys() <= Settings.model_fields.keys()


def is_of_subscriber(data: Any) -> bool:
    """Return true for keys of a subscriber."""
    return isinstance(data, dict) and data.keys() <= SubscriberSettings.model_fields.keys()


def has_login(data: Any) -> bool:
    """Return true for a configuration that says how to log in."""
    return "auth" in data.get("org", {})


def planned(blocks: Iterable[Block], folder: Path) -> Plan:
    """Check the configuration that `blocks` make of the minimal one, to the last expression.

    Raises `ConfigurationError`.
    """
    paths = written(blocks, folder)
    return plan(load_document(paths, environment(paths)), TurnedClock())


def written(blocks: Iterable[Block], folder: Path) -> list[Path]:
    """Write the minimal configuration and `blocks`, and the files that they name.

    A block that says how to log in takes the place of what said so before.
    """
    shown = [*blocks]
    logins = [block for block in shown if has_login(data_of(block))]
    texts = [CHANNELS] if logins else [ORG, CHANNELS]
    for block in shown:
        if block in logins[:-1]:
            continue
        text = _SECRETS.sub(f"{folder}/secrets/", block.text)
        if not is_configuration(data_of(block)):
            indented = "".join(f"    {line}" for line in text.splitlines(keepends=True))
            texts.append(SUBSCRIBER)
            text = f"subscribers:\n  shown:\n{indented}"
        texts.append(text)
    for name in _FILE.findall("".join(texts)):
        _write(folder / name)
    _write_tls(folder / "secrets")
    paths = [folder / f"{number}.yaml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def environment(paths: Iterable[Path]) -> dict[str, str]:
    """Return a value for each variable that the files name."""
    names = {name for path in paths for name in _VARIABLE.findall(path.read_text(encoding="utf-8"))}
    return {name: _VALUES.get(name, "an-invented-value") for name in names}


def offer_plugins_of(
    blocks: Iterable[Block], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Mapping[str, str]:
    """Offer the plugins that a page's blocks define, beside those that ship; return the page's own.

    A block is a file if its name stands before it.
    """
    own: dict[str, str] = {}
    for block in blocks:
        if named := _NAMED.match(block.before):
            (folder / named[1]).write_text(block.text, encoding="utf-8")
        if block.language == "toml":
            project = tomllib.loads(block.text).get("project", {})
            own |= project.get("entry-points", {}).get("streamer.subscribers", {})
    if own:
        monkeypatch.syspath_prepend(folder)
        offer_plugins(monkeypatch, **{name: point.value for name, point in installed().items()} | own)
    return own


def _write_tls(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    both = certificate_pem(folder)
    for name in ("tls.crt", "tls.key", "ca.pem"):
        (folder / name).write_bytes(both.read_bytes())


def _write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        path.write_text("code,name\nDE,Germany\n")
    elif path.suffix == ".pem":
        path.write_text(private_key_pem())
    else:
        path.write_text(f"an-invented-secret-of-32-letters-for-{path.name}")
