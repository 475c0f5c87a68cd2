"""Plan: a configuration that was checked to the last expression."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from streamer.app.plugins import checked_settings, make_subscriber, uses_org
from streamer.app.refusals import refusals
from streamer.app.routes import SubscriberRoute, functions_of, named_by
from streamer.clock import Clock
from streamer.configuration import Document, load_draft
from streamer.configuration.effective import effective_configuration
from streamer.configuration.event_types import Carried
from streamer.dispatch.attempt.route import Route
from streamer.errors import ConfigurationError
from streamer.events import SubscriberName
from streamer.log.patterns import wants
from streamer.ports import PluginContext, Subscriber
from streamer.salesforce.auth.logins import Logins
from streamer.salesforce.publish.access import OrgAccess
from streamer.settings import ChannelSettings, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Checked configuration, with what makes its subscribers and their compiled routes.

    The plugins of `org_users` use the daemon's org, with the tokens of `logins`.
    """

    document: Document
    settings: Settings
    subscribers: Mapping[SubscriberName, Callable[[], Subscriber]]
    routes: Mapping[SubscriberName, Route]
    org_users: frozenset[SubscriberName] = frozenset()
    logins: Logins | None = None

    def made_of(self, name: SubscriberName) -> tuple[object, ...]:
        """Return the settings of which the subscriber is made; other settings need another subscriber."""
        org = self.settings.org if name in self.org_users else None
        own = self.settings.subscribers.get(name)
        return own, org, own and named_by(own, self.settings)


def plan(document: Document, clock: Clock, logins: Logins | None = None) -> Plan:
    """Check all of `document`, including the plugins' settings and the expressions, without any connection.

    `logins` are those of the process, if it has some already. Raises
    `ConfigurationError` with all mistakes, one after the other.
    """
    draft = load_draft(document)
    logins = logins or Logins(clock)
    org = OrgAccess(settings=draft.settings.org, clock=clock, logins=logins)
    org_users = frozenset(name for name, each in draft.settings.subscribers.items() if uses_org(each.uses))
    makers: dict[SubscriberName, Callable[[], Subscriber]] = {}
    routes: dict[SubscriberName, SubscriberRoute] = {}
    functions = functions_of(draft.settings)
    mistakes = list(refusals(draft, document, clock))
    for name, each in draft.settings.subscribers.items():
        context = PluginContext(
            name=name,
            clock=clock,
            org=org if name in org_users else None,
            receives=_receives(draft.settings.channels, each.on),
        )
        makers[name] = partial(make_subscriber, each, context, document)
        if draft.is_sound("subscribers", name, "uses"):
            mistakes += _refused(makers[name])
        routes[name] = SubscriberRoute(
            name=name, settings=each, draft=draft, document=document, functions=functions
        )
        mistakes += routes[name].mistakes()
    return Plan(
        document=document,
        settings=draft.with_mistakes(mistakes).finished(),
        subscribers=makers,
        routes={name: route.compiled() for name, route in routes.items()},
        org_users=org_users,
        logins=logins,
    )


def effective(checked: Plan) -> str:
    """Return the configuration of `checked` as YAML: defaults filled in, secrets masked."""
    own = {
        name: checked_settings(each, name, checked.document)
        for name, each in checked.settings.subscribers.items()
    }
    return effective_configuration(checked.settings, own, checked.document)


def _receives(channels: Iterable[ChannelSettings], on: tuple[str, ...]) -> Callable[[str], bool]:
    carried = [Carried.by(channel.path) for channel in channels]
    is_selected = wants(on)
    return lambda event_type: is_selected(event_type) and any(each.can_match(event_type) for each in carried)


def _refused(make: Callable[[], Subscriber]) -> list[str]:
    try:
        make()
    except ConfigurationError as error:
        return str(error).split("\n")
    return []
