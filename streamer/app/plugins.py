"""Plugins: finds entry points, checks plugins' settings, and creates subscribers.

A plugin is foreign code, and can raise any exception. For example, an imported script
can raise `SystemExit`, and a library's time-out can be a `BaseException`.
"""

import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint, distributions, entry_points
from pathlib import Path
from typing import cast

from pydantic import BaseModel, ValidationError

from streamer import DISTRIBUTION
from streamer.blocking import on_threads
from streamer.configuration import Document, Keys, problems, unfit_files
from streamer.errors import ConfigurationError
from streamer.events import JsonObject, SubscriberName
from streamer.exact_json import exact_json
from streamer.known_secrets import KNOWN, secrets_in
from streamer.ports import (
    Batching,
    BlockingSubscriber,
    LookupPlugin,
    Plugin,
    PluginContext,
    ServiceSource,
    Subscriber,
)
from streamer.settings import (
    LookupSettings,
    SubscriberSettings,
)

GROUP = "streamer.subscribers"
"""Entry-point group of plugins."""

HTTP_LOOKUPS = "http"
"""Name of the entry point, and of the key in `enrich`, for services that look-ups query over HTTP."""

_LOOKUPS = "streamer.lookups"


def installed() -> Mapping[str, EntryPoint]:
    """Return the installed plugins' entry points, by the names for `uses`.

    Another package can't replace a plugin of Streamer.
    """
    return {point.name: point for point in (*_of_every_package(GROUP), *_own(GROUP))}


def _named(group: str, name: str) -> EntryPoint | None:
    """Return the entry point `name` of a group; another package can't replace one of Streamer."""
    # Streamer's package is asked first: reading the entry points of every installed package
    # takes several milliseconds for each subscriber.
    for found in (_own, _of_every_package):
        for point in found(group):
            if point.name == name:
                return point
    return None


def _own(group: str) -> Iterator[EntryPoint]:
    for streamer in distributions(name=DISTRIBUTION):
        yield from streamer.entry_points.select(group=group)


def _of_every_package(group: str) -> Iterable[EntryPoint]:
    return entry_points(group=group)


def settings_models() -> Mapping[str, type[BaseModel]]:
    """Return the settings' model of each installed plugin, by the names for `uses`.

    Raises `ConfigurationError`, which names a plugin that can't be loaded.
    """
    return {name: _settings_model(name, point) for name, point in sorted(installed().items())}


def _settings_model(name: str, point: EntryPoint) -> type[BaseModel]:
    try:
        return cast("Plugin", point.load()).Settings
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ConfigurationError(
            f"the installed plugin {name} can't be loaded: {type(error).__name__}: {error}; repair or "
            "uninstall the plugin's package"
        ) from error


def checked_settings(settings: SubscriberSettings, name: SubscriberName, document: Document) -> BaseModel:
    """Return the plugin's settings of the subscriber `name`, including defaults.

    Raises `ConfigurationError` with the file, the line and the key.
    """
    at = ("subscribers", name)
    plugin = _plugin(settings.uses, document, (*at, "uses"))
    return _checked(plugin, settings, document, (*at, "settings"))


def lookup_models() -> Mapping[str, type[BaseModel]]:
    """Return the settings' models of services that look-ups query, by their keys in `enrich`."""
    return {HTTP_LOOKUPS: _lookup_plugin().Settings}


def service_source(lookup: LookupSettings, document: Document, keys: Keys) -> ServiceSource | None:
    """Return the service for the look-up at `keys`, with checked settings, or `None` for the org.

    Raises `ConfigurationError` with the file, the line and the key.
    """
    own = service_settings(lookup, document, keys)
    if own is None:
        return None
    plugin, keys = _lookup_plugin(), (*keys, HTTP_LOOKUPS)
    if unread := document.unread(keys):
        raise ConfigurationError("\n".join(unread))
    # A service's field names are case-sensitive, so each spelling is a separate source.
    key = repr((sorted(lookup.fields), exact_json(lookup.http)))
    return ServiceSource(key=key, make=lambda clock: plugin(own, clock))


def service_settings(lookup: LookupSettings, document: Document, keys: Keys) -> BaseModel | None:
    """Return the checked settings of the service for the look-up at `keys`, or `None` for the org."""
    if lookup.http is None:
        return None
    return _validated(_lookup_plugin().Settings, lookup.http, document, (*keys, HTTP_LOOKUPS))


def _lookup_plugin() -> LookupPlugin:
    found = _named(_LOOKUPS, HTTP_LOOKUPS)
    if found is None:
        raise ConfigurationError(
            f"the plugin for look-ups with {HTTP_LOOKUPS} is not installed: install Streamer again"
        )
    return cast("LookupPlugin", found.load())


def uses_org(uses: str) -> bool:
    """Return true when the plugin uses the daemon's org; false if the plugin can't be loaded."""
    point = _named(GROUP, uses)
    try:
        return point is not None and bool(getattr(point.load(), "uses_org", False))
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - making the subscriber reports it
        return False


def make_subscriber(settings: SubscriberSettings, context: PluginContext, document: Document) -> Subscriber:
    """Return the subscriber `context.name` with checked plugin settings, without connecting it.

    Raises `ConfigurationError` with the file, the line and the key.
    """
    at = ("subscribers", context.name)
    plugin = _plugin(settings.uses, document, (*at, "uses"))
    keys = (*at, "settings")
    with _refusing("the plugin failed while it checked its settings", document, keys):
        own = _checked(plugin, settings, document, keys)
    if unread := document.unread(keys):
        raise ConfigurationError("\n".join(unread))
    if unfit := [document.mistake(*each) for each in unfit_files(own, keys)]:
        raise ConfigurationError("\n".join(unfit))
    if settings.content is not None and not getattr(plugin, "takes_content", False):
        refused = document.mistake((*at, "content"), f"{settings.uses} does not support content: use body")
        raise ConfigurationError(refused)
    if settings.text is not None and not getattr(plugin, "takes_text", True):
        instead = "body or content" if getattr(plugin, "takes_content", False) else "body"
        refused = document.mistake((*at, "text"), f"{settings.uses} does not send text: use {instead}")
        raise ConfigurationError(refused)
    with _refusing("the plugin failed while Streamer created it", document, keys):
        try:
            made = plugin(own, context)
        except ConfigurationError as error:
            raise ConfigurationError(document.mistake(keys, str(error))) from error
        return _on_threads(made, settings, context.name, document)


def _on_threads(
    made: Subscriber | BlockingSubscriber,
    settings: SubscriberSettings,
    name: SubscriberName,
    document: Document,
) -> Subscriber:
    try:
        batching = Batching.of(made)
        threads = settings.in_flight_limit(batching.size if batching else 1)
        return on_threads(made, name=name, threads=threads)
    except ConfigurationError as error:
        mistake = document.mistake(("subscribers", name, "uses"), f"this plugin has a mistake: {error}")
        raise ConfigurationError(mistake) from error


@contextmanager
def _refusing(sentence: str, document: Document, keys: Keys) -> Iterator[None]:
    try:
        yield
    except (ConfigurationError, KeyboardInterrupt):
        raise
    except BaseException as error:
        # The error's text can repeat the settings, which hold secrets.
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}, line {last.lineno}"
        raise ConfigurationError(
            document.mistake(keys, f"{sentence}: the plugin raised {type(error).__name__} in {where}")
        ) from error


def _checked(plugin: Plugin, settings: SubscriberSettings, document: Document, keys: Keys) -> BaseModel:
    return _validated(plugin.Settings, settings.settings, document, keys)


def _validated(model: type[BaseModel], settings: JsonObject, document: Document, keys: Keys) -> BaseModel:
    try:
        own = model.model_validate(settings)
    except ValidationError as error:
        found = problems(error, document, model, at=keys)
        lines = [each.line for each in found if not each.follows]
        raise ConfigurationError("\n".join([*lines, *document.unread(keys)])) from None
    KNOWN.configure(secrets_in(own))
    return own


def _plugin(uses: str, document: Document, keys: Keys) -> Plugin:
    point = _named(GROUP, uses)
    if point is None:
        names = ", ".join(sorted(installed()))
        raise ConfigurationError(
            document.mistake(keys, f"found {document.shown(keys)}; installed plugins: {names}")
        )
    try:
        plugin = point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
        raise ConfigurationError(document.mistake(keys, f"this plugin can't be loaded: {said}")) from error
    missing = [name for name in ("Settings", "deliver") if getattr(plugin, name, None) is None]
    if missing:
        needed = f"{point.value} has no {' and no '.join(missing)}"
        raise ConfigurationError(
            document.mistake(keys, f"this is not a plugin: {needed} (see docs/plugins.md)")
        )
    return cast("Plugin", plugin)
