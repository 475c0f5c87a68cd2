"""Effective configuration as YAML: every key with its value, including defaults, with masked secrets."""

import re
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import BaseModel, Secret, SecretBytes, SecretStr
from pydantic_core import to_jsonable_python

from streamer.configuration.document import Document, Keys
from streamer.configuration.reading import Yaml12Words
from streamer.events import JsonObject, SubscriberName
from streamer.known_secrets import MASK
from streamer.observe.redaction import masked
from streamer.settings import Section, Settings, SqliteLogSettings

# token_url and key_file do not match: they are an address and a path.
_SECRET_NAME = re.compile(
    r"secret|passw|passphrase|token(?!_url)|webhook|credential|authorization|assertion|cookie|private"
    r"|session_?id|api_?key|connection_?string|oauthbearer|headers$|keystore"
    r"|(^|[._-])(key|pem|pin|pwd)$|(?-i:[a-z]Key)$",
    re.IGNORECASE,
)
# User and password before a host, with or without a scheme.
_USER = re.compile(r"(?<=://)\S*@|^[\w.%+-]+:\S*@(?=[\w.:\[\]-]+$)")
_QUERY = re.compile(r"(://[^\s?#]*[?#])\S+")
_PATH = re.compile(r"(?<=://)([^\s/?#]*)(/[^\s?#]*)")
# Part of a path that looks generated, such as a webhook's token.
_TOKEN = re.compile(r"(?<=/)(?=(?:[\w-]*\d){3})(?=[\w-]*[A-Za-z])[\w-]{16,}(?=/|$)")
# A shorter text occurs in too many other texts.
_SHORTEST = 8


class _Dumper(Yaml12Words, yaml.SafeDumper):
    """Dumper whose output the configuration's loader reads back unchanged."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        """Write repeated parts in full instead of YAML aliases."""
        return True


def effective_configuration(
    settings: Settings,
    plugins: Mapping[SubscriberName, BaseModel],
    document: Document,
    services: Mapping[tuple[SubscriberName, str], BaseModel] = MappingProxyType({}),
) -> str:
    """Return `settings`, including the settings of `plugins`, as YAML that Streamer can read back.

    `services` are the settings of the services that look-ups query over HTTP, by
    subscriber and look-up.

    `***` replaces secrets: values whose type or name means a secret; users, queries
    and tokens in addresses; texts that look like a secret; and every value from the
    environment or from a file.
    """
    view = _View(document)
    whole = view.of(settings, ())
    if settings.log.kafka is None and settings.log.sqlite is None:
        whole["log"]["sqlite"] = view.of(SqliteLogSettings(), ("log", "sqlite"))
    for name, own in plugins.items():
        whole["subscribers"][name]["settings"] = view.of(own, ("subscribers", name, "settings"))
    for (name, lookup), own in services.items():
        keys = ("subscribers", name, "enrich", lookup, "http")
        whole["subscribers"][name]["enrich"][lookup]["http"] = view.of(own, keys)
    text: str = yaml.dump(whole, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return text


class _View:
    """Converts settings into data for YAML, with masked secrets."""

    def __init__(self, document: Document) -> None:
        self._indirect = document.indirect
        self._tables = {keys: path for keys, path in document.files.items() if keys[0] == "tables"}
        values = (document.at(keys) for keys in document.indirect)
        self._secrets = [value for value in values if isinstance(value, str) and len(value) >= _SHORTEST]

    def of(self, value: Any, keys: Keys, *, is_secret: bool = False) -> Any:
        """Return the data of `value` at `keys`. With `is_secret`, all single values are masked."""
        if keys in self._tables:
            # A table can have thousands of lines.
            return {"file": str(self._tables[keys])}
        is_secret = is_secret or keys in self._indirect
        within = partial(self.of, is_secret=is_secret)
        match value:
            case Section():
                return {name: within(each, (*keys, name)) for name, each in value}
            case BaseModel() | Mapping():
                named = _by_alias(value) if isinstance(value, BaseModel) else value
                return self._named(named, keys, is_secret=is_secret)
            case list() | tuple():
                return [within(each, (*keys, position)) for position, each in enumerate(value)]
            case set() | frozenset():
                return sorted((within(each, keys) for each in value), key=str)
            case _:
                return self._single(value, keys, is_secret=is_secret)

    def _named(self, values: Mapping[Any, Any], keys: Keys, *, is_secret: bool) -> JsonObject:
        """Return the data of a mapping with free keys, whose names can mean a secret."""
        return {
            str(key): self.of(
                value,
                (*keys, str(key)),
                # A subscriber's name can be any word, and does not mean a secret.
                is_secret=is_secret or (not isinstance(value, Section) and _is_secret_name(str(key))),
            )
            for key, value in values.items()
        }

    def _single(self, value: Any, keys: Keys, *, is_secret: bool) -> Any:
        if value is None:
            return None
        if is_secret or isinstance(value, SecretStr | SecretBytes | Secret | bytes):
            return MASK
        plain = to_jsonable_python(value, fallback=str)
        if isinstance(plain, dict | list):
            # A dataclass, for example.
            return self.of(plain, keys)
        if not isinstance(plain, str):
            return plain
        if any(secret in plain for secret in self._secrets):
            return MASK
        return masked(_without_parts(plain), limit=len(plain) + 1)


def _without_parts(text: str) -> str:
    """Return `text` with masked secrets in addresses: users, queries, and tokens in paths."""
    shown = _QUERY.sub(rf"\g<1>{MASK}", _USER.sub(f"{MASK}@", text))
    return _PATH.sub(lambda match: match[1] + _TOKEN.sub(MASK, match[2]), shown)


def _is_secret_name(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def _by_alias(model: BaseModel) -> JsonObject:
    """Return the values of a plugin's `model` by their keys in a file."""
    fields = type(model).model_fields
    named = {
        _key(name, fields[name].validation_alias, fields[name].alias): getattr(model, name) for name in fields
    }
    return {**named, **(model.model_extra or {})}


def _key(name: str, *aliases: Any) -> str:
    return next((alias for alias in aliases if isinstance(alias, str)), name)
