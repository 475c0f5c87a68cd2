"""Plan: a fully checked configuration."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.app.chains.subscriptions import forwarding_of, selects, subscription, upstream_of
from streamer.app.plugins import checked_settings, make_subscriber, service_settings, uses_org
from streamer.app.refusals import refusals
from streamer.app.routes import SubscriberRoute, functions_of, named_by
from streamer.configuration import Document, load_draft, protection_warnings
from streamer.configuration.consistency import upstream
from streamer.configuration.event_types import Carried
from streamer.dispatch.delivery.route import Route, exclusion
from streamer.errors import ConfigurationError
from streamer.known_secrets import MASK
from streamer.ports import PluginContext
from streamer.salesforce.auth.flows import Logins
from streamer.salesforce.publish.access import OrgAccess
from streamer.settings import ChannelSettings, Settings, SubscriberSettings

if TYPE_CHECKING:
    from streamer.app.enriching import SharedLookups
    from streamer.clock import Clock
    from streamer.dispatch.delivery.enrichment import Enrichment, EnrichmentSource
    from streamer.events import Event, SubscriberName
    from streamer.ports import Subscriber, Subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Checked configuration, with factories of subscribers, and their compiled routes and look-ups.

    The subscribers in `org_users` use the daemon's org, in the plugin or in
    look-ups, with the tokens of `logins`. `warnings` are lines about allowed values
    that are probably mistakes.
    """

    document: Document
    settings: Settings
    subscribers: Mapping[SubscriberName, Callable[[], Subscriber]]
    routes: Mapping[SubscriberName, Route]
    logins: Logins
    org_users: frozenset[SubscriberName] = frozenset()
    enrichments: Mapping[SubscriberName, EnrichmentSource] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def sources(self) -> Sequence[Path]:
        """Absolute paths of the configuration's files."""
        return self.document.sources

    def with_source(self, former: Settings) -> Plan:
        """Return this plan with the org and the channels of `former`; subscribers use that org as well."""
        settings = self.settings.model_copy(
            update={"org": former.org, "channels": former.channels, "outbound": former.outbound}
        )
        return replace(
            self, settings=settings, subscribers=_makers(settings, self.document, self.logins, self.org_users)
        )

    def made_of(self, name: SubscriberName) -> tuple[object, ...]:
        """Return the settings that the subscriber is made from.

        If these settings change, the subscriber must be replaced.
        """
        org = self.settings.org if name in self.org_users else None
        subscribers = self.settings.subscribers
        own = subscribers.get(name)
        types = [subscribers[each].on for each in sorted(upstream(name, subscribers)) if each in subscribers]
        named = own and named_by(own, self.settings)
        return own, org, named, types, forwarding_of(name, subscribers)

    def subscription(self, name: SubscriberName) -> Subscription:
        """Return the subscriber's selection of events in the log."""
        return subscription(name, self.settings.subscribers)

    def enrichment(self, name: SubscriberName, lookups: SharedLookups) -> Enrichment | None:
        """Return the subscriber's enrichment by `lookups`, or `None` without look-ups."""
        source = self.enrichments.get(name)
        return lookups.enrichment(source, self.settings.org) if source else None

    def shown_when(self, name: SubscriberName) -> str | None:
        """Return a subscriber's `when`; a value from the environment or from a file is masked."""
        when = self.settings.subscribers[name].when
        return MASK if when and self.document.is_secret(("subscribers", name, "when")) else when

    def admits(self, name: SubscriberName) -> Callable[[Event], bool]:
        """Return a test that is true for events that the subscriber gets, or can get if look-ups permit it.

        Calling the test raises `BrokenRoute` when the route fails on the event.
        """
        route, upstream = self.routes[name], upstream_of(name, self.settings.subscribers)
        return lambda event: not exclusion(event, route, upstream)


def plan(document: Document, clock: Clock, logins: Logins | None = None) -> Plan:
    """Check all of `document`, including plugins' settings and expressions, without any connection.

    `logins` are the process's existing logins, if any. Raises `ConfigurationError`
    with all mistakes, one per line.
    """
    draft = load_draft(document)
    logins = logins or Logins(clock)
    subscribers = draft.settings.subscribers
    with_org = frozenset(name for name, each in subscribers.items() if uses_org(each.uses))
    makers = _makers(draft.settings, document, logins, with_org)
    routes: dict[SubscriberName, SubscriberRoute] = {}
    functions = functions_of(draft.settings, document)
    mistakes = list(refusals(draft, document, clock))
    for name, each in subscribers.items():
        if draft.is_sound("subscribers", name, "uses"):
            mistakes += _refused(makers[name])
        routes[name] = SubscriberRoute(
            name=name,
            settings=each,
            draft=draft,
            document=document,
            functions=functions,
            upstream=upstream(name, subscribers),
        )
        mistakes += routes[name].mistakes()
    return Plan(
        document=document,
        settings=draft.with_mistakes(mistakes).finished(),
        subscribers=makers,
        routes={name: route.compiled() for name, route in routes.items()},
        org_users=with_org.union(name for name, each in subscribers.items() if _asks_org(each)),
        enrichments={name: source for name, route in routes.items() if (source := route.enrichment())},
        logins=logins,
        warnings=tuple(protection_warnings(draft, document)),
    )


def effective(checked: Plan) -> str:
    """Return the configuration of `checked` as YAML, with defaults and masked secrets."""
    from streamer.configuration.effective import effective_configuration  # noqa: PLC0415 - few calls print it

    own = {
        name: checked_settings(each, name, checked.document)
        for name, each in checked.settings.subscribers.items()
    }
    services = {
        (name, lookup): service
        for name, each in checked.settings.subscribers.items()
        for lookup, settings in each.enrich.items()
        if (service := service_settings(settings, checked.document, ("subscribers", name, "enrich", lookup)))
    }
    return effective_configuration(checked.settings, own, checked.document, services)


def _makers(
    settings: Settings, document: Document, logins: Logins, org_users: Collection[SubscriberName]
) -> Mapping[SubscriberName, Callable[[], Subscriber]]:
    org = OrgAccess(settings=settings.org, clock=logins.clock, logins=logins)
    makers: dict[SubscriberName, Callable[[], Subscriber]] = {}
    for name, each in settings.subscribers.items():
        context = PluginContext(
            name=name,
            clock=logins.clock,
            org=org if name in org_users else None,
            receives=_receives(settings.channels, selects(name, settings.subscribers)),
        )
        makers[name] = partial(make_subscriber, each, context, document)
    return makers


def _receives(
    channels: Iterable[ChannelSettings], is_selected: Callable[[str], bool]
) -> Callable[[str], bool]:
    carried = [Carried.by(channel.path) for channel in channels]
    return lambda event_type: is_selected(event_type) and any(each.can_match(event_type) for each in carried)


def _asks_org(subscriber: SubscriberSettings) -> bool:
    return any(each.http is None and each.state is None for each in subscriber.enrich.values())


def _refused(make: Callable[[], Subscriber]) -> list[str]:
    try:
        make()
    except ConfigurationError as error:
        return str(error).split("\n")
    return []
