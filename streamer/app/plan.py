"""Plan: a configuration that was checked to the last expression."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from streamer.app.plugins import make_subscriber
from streamer.clock import Clock
from streamer.configuration import Document, Keys, load
from streamer.dispatch.attempt.route import Route, compile_route
from streamer.errors import ConfigurationError
from streamer.events import SubscriberName
from streamer.ports import PluginContext, Subscriber
from streamer.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Checked configuration, with what makes its subscribers and their compiled routes."""

    document: Document
    settings: Settings
    subscribers: Mapping[SubscriberName, Callable[[], Subscriber]]
    routes: Mapping[SubscriberName, Route]


def plan(document: Document, clock: Clock) -> Plan:
    """Check all of `document`, including the plugins' settings and the expressions; no I/O happens.

    Raises `ConfigurationError` with one line for each mistake.
    """
    settings = load(document)
    makers: dict[SubscriberName, Callable[[], Subscriber]] = {}
    routes: dict[SubscriberName, Route] = {}
    mistakes: list[str] = []
    for name, each in settings.subscribers.items():
        context = PluginContext(name=name, clock=clock)
        makers[name] = partial(make_subscriber, each, context, document)
        try:
            makers[name]()
            routes[name] = compile_route(
                name,
                when=each.when,
                body=each.body,
                text=each.text,
                mistake=partial(mistake_of, document, name),
            )
        except ConfigurationError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    return Plan(document=document, settings=settings, subscribers=makers, routes=routes)


def mistake_of(
    document: Document, name: SubscriberName, keys: Keys, sentence: str, detail: str
) -> ConfigurationError:
    """Return an error that names the file, the line and the key of a subscriber; a secret is not shown."""
    place = ("subscribers", name, *keys)
    whole = sentence if document.is_secret(place) else f"{sentence}: {detail}"
    return ConfigurationError(document.mistake(place, whole))
