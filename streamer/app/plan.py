"""Plan: a configuration that was checked to the last expression."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from streamer.app.plugins import checked_settings, make_subscriber
from streamer.app.refusals import refusals
from streamer.app.routes import SubscriberRoute
from streamer.clock import Clock
from streamer.configuration import Document, load_draft
from streamer.configuration.effective import effective_configuration
from streamer.dispatch.attempt.route import Route
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
    """Check all of `document`, including the plugins' settings and the expressions, without any connection.

    Raises `ConfigurationError` with all mistakes, one after the other.
    """
    draft = load_draft(document)
    makers: dict[SubscriberName, Callable[[], Subscriber]] = {}
    routes: dict[SubscriberName, SubscriberRoute] = {}
    mistakes = list(refusals(draft, document, clock))
    for name, each in draft.settings.subscribers.items():
        context = PluginContext(name=name, clock=clock)
        makers[name] = partial(make_subscriber, each, context, document)
        if draft.is_sound("subscribers", name, "uses"):
            mistakes += _refused(makers[name])
        routes[name] = SubscriberRoute(name=name, settings=each, draft=draft, document=document)
        mistakes += routes[name].mistakes()
    return Plan(
        document=document,
        settings=draft.with_mistakes(mistakes).finished(),
        subscribers=makers,
        routes={name: route.compiled() for name, route in routes.items()},
    )


def effective(checked: Plan) -> str:
    """Return the configuration of `checked` as YAML: defaults filled in, secrets masked."""
    own = {
        name: checked_settings(each, name, checked.document)
        for name, each in checked.settings.subscribers.items()
    }
    return effective_configuration(checked.settings, own, checked.document)


def _refused(make: Callable[[], Subscriber]) -> list[str]:
    try:
        make()
    except ConfigurationError as error:
        return str(error).split("\n")
    return []
