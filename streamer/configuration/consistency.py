"""Mistakes between keys: chains, overlapping channels, ports, and patterns that match no event."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from urllib.parse import urlsplit

from streamer.channel_paths import ChannelKind, without_filter
from streamer.configuration.document import Document, Keys
from streamer.configuration.draft import Draft
from streamer.configuration.event_types import ANYTHING, Carried, channel_for, nearest
from streamer.configuration.protection import protection_mistakes
from streamer.events import Start, SubscriberName
from streamer.librdkafka.options import plaintext_host
from streamer.settings import SubscriberSettings
from streamer.web.addresses import is_loopback

Subscribers = Mapping[SubscriberName, SubscriberSettings]


def upstream(name: SubscriberName, subscribers: Subscribers) -> frozenset[SubscriberName]:
    """Return the subscribers that an event has passed before it reaches `name`."""
    found: set[SubscriberName] = set()
    left = [name]
    while left:
        known = subscribers.get(left.pop())
        new = set(known.after) - found if known else set()
        found |= new
        left += new
    return frozenset(found)


def downstream(name: SubscriberName, subscribers: Subscribers) -> tuple[SubscriberName, ...]:
    """Return the subscribers that come directly after `name`, in the configuration's order."""
    return tuple(each for each, settings in subscribers.items() if name in settings.after)


def chain_mistakes(draft: Draft, document: Document) -> Iterator[str]:
    """Yield a message for each mistake in chains of subscribers."""
    subscribers = {
        name: each
        for name, each in draft.settings.subscribers.items()
        if draft.is_sound("subscribers", name, "after")
    }
    given = document.at(("subscribers",))
    # A subscriber with another mistake still exists.
    of_given = [each for each in given if isinstance(each, str)] if isinstance(given, dict) else []
    known = {*draft.settings.subscribers, *of_given}
    for name, each in subscribers.items():
        yield from _useless(name, each, document)
        for place, before in _named(name, each, document):
            if before not in known:
                close = difflib.get_close_matches(before, sorted(known - {name}), n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                found = document.shown(place)
                yield document.mistake(place, f"found {found}, but no subscriber has this name{hint}")
            elif each.after.count(before) > 1:
                yield document.mistake(place, f"{before} is named twice: remove one of the two")
            elif nearer := _nearer(name, before, subscribers):
                told = (
                    f"{nearer} already comes after {before}, so remove {before}; expressions can read "
                    f"the receipt of {before} without it"
                )
                yield document.mistake(place, told)
    yield from _cycles(subscribers, document)


def _useless(name: SubscriberName, settings: SubscriberSettings, document: Document) -> Iterator[str]:
    """Yield a message for each key that has no effect; a key with its default value gets no message."""
    keys: Keys = ("subscribers", name)
    if not settings.after and settings.on_rejected != "skip":
        yield document.mistake(
            (*keys, "on_rejected"), "has no effect without after: set after, or remove this key"
        )
    if len(settings.after) > 1 and settings.order == "none":
        yield document.mistake(
            (*keys, "order"),
            (
                "must not be none with several subscribers in after, because Streamer joins the events "
                "of these subscribers by key: use key, or name only one subscriber in after"
            ),
        )
    if settings.after and settings.start is not Start.LATEST:
        yield document.mistake(
            (*keys, "start"),
            "has no effect with after, because the subscriber begins with the first event that "
            f"{settings.after[0]} forwards: remove this key",
        )


def _named(
    name: SubscriberName, settings: SubscriberSettings, document: Document
) -> Iterator[tuple[Keys, SubscriberName]]:
    keys: Keys = ("subscribers", name, "after")
    is_list = isinstance(document.at(keys), list)
    for index, before in enumerate(settings.after):
        yield ((*keys, index) if is_list else keys), before


def _nearer(name: SubscriberName, before: SubscriberName, subscribers: Subscribers) -> SubscriberName | None:
    """Return a subscriber in the `after` of `name` that comes after `before`, or `None`."""
    if name in upstream(name, subscribers):
        return None
    others = (other for other in subscribers[name].after if other != before)
    return next((other for other in others if before in upstream(other, subscribers)), None)


def _cycles(subscribers: Subscribers, document: Document) -> Iterator[str]:
    """Yield a message for each cycle, at the cycle's first subscriber."""
    told: set[SubscriberName] = set()
    for name in subscribers:
        cycle = [] if name in told else _cycle(name, subscribers)
        told.update(cycle)
        if len(cycle) == 1:
            sentence = "the subscriber can't come after itself: remove the name"
        else:
            sentence = (
                f"the subscriber comes after itself: {' after '.join([*cycle, name])}; remove one of "
                "these steps"
            )
        if cycle:
            yield document.mistake(("subscribers", name, "after"), sentence)


def _cycle(name: SubscriberName, subscribers: Subscribers) -> list[SubscriberName]:
    """Return a shortest cycle that begins at `name` and follows `after`, or an empty list."""
    paths = [[name]]
    seen: set[SubscriberName] = set()
    while paths:
        path = paths.pop(0)
        known = subscribers.get(path[-1])
        for before in known.after if known else ():
            if before == name:
                return path
            if before not in seen:
                seen.add(before)
                paths.append([*path, before])
    return []


_EVERYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared with, not listened on
_EXAMPLES = "event types look like salesforce.cdc.Account.updated and salesforce.event.Order_Placed__e"


def inconsistencies(draft: Draft, document: Document) -> Iterator[str]:
    """Yield a message for each conflict between valid parts of `draft`."""
    yield from _contained_channels(draft, document)
    yield from _topics_read_twice(draft, document)
    yield from _port_taken_twice(draft, document)
    yield from _plaintext(draft, document)
    yield from protection_mistakes(draft, document)
    yield from chain_mistakes(draft, document)
    yield from _unknown_in_tests(draft, document)
    yield from _unkept_states(draft, document)
    for name, subscriber in draft.settings.subscribers.items():
        if draft.is_sound("subscribers", name, "on"):
            yield from _unmatched(name, subscriber, draft, document)


def _unkept_states(draft: Draft, document: Document) -> Iterator[str]:
    """Yield a message for each look-up of states that Streamer does not keep."""
    if not draft.is_sound("state"):
        return
    kept = draft.settings.state.objects if draft.settings.state else ()
    for name, subscriber in draft.settings.subscribers.items():
        for lookup, each in subscriber.enrich.items():
            keys: Keys = ("subscribers", name, "enrich", lookup)
            if draft.is_sound(*keys) and each.state is not None and each.state not in kept:
                yield document.mistake(
                    (*keys, "state"),
                    f"Streamer keeps no states of {each.state}: add {each.state} to state.objects",
                )


def _unknown_in_tests(draft: Draft, document: Document) -> Iterator[str]:
    """Yield a message for each subscriber and each look-up that a test names and that does not exist."""
    given = document.at(("subscribers",))
    known = sorted({*draft.settings.subscribers, *(given if isinstance(given, dict) else ())})
    lookups = sorted({name for each in draft.settings.subscribers.values() for name in each.enrich})
    for name, test in draft.settings.tests.items():
        yield from _unknown(document, ("tests", name, "expect"), test.expect, known, "subscriber")
        yield from _unknown(document, ("tests", name, "receipts"), test.receipts, known, "subscriber")
        if draft.is_sound("subscribers"):
            yield from _unknown(document, ("tests", name, "lookups"), test.lookups, lookups, "look-up")


def _unknown(
    document: Document, keys: Keys, named: Iterable[str], known: Sequence[str], kind: str
) -> Iterator[str]:
    for each in named:
        if each not in known:
            close = difflib.get_close_matches(each, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            yield document.mistake((*keys, each), f"no {kind} has this name{hint}")


def _contained_channels(draft: Draft, document: Document) -> Iterator[str]:
    """Yield a message for each channel whose events another channel also carries."""
    if not draft.channels:
        return
    paths = [channel.path for channel in draft.settings.channels]
    for position, path in zip(draft.channels, paths, strict=True):
        around = next((other for other in paths if _contains(other, path)), None)
        if around is not None:
            yield document.mistake(
                ("channels", position),
                f"{around} also carries the events of {path}, so the log would hold these events twice: "
                "remove one of the channels",
            )


def _topics_read_twice(draft: Draft, document: Document) -> Iterator[str]:
    """Yield a message for each channel whose PushTopic another channel already reads."""
    paths = [channel.path for channel in draft.settings.channels] if draft.channels else []
    first: dict[str, str] = {}
    for position, path in zip(draft.channels, paths, strict=True):
        topic = without_filter(path)
        reader = first.setdefault(topic, path)
        if ChannelKind.of(path) is ChannelKind.PUSH_TOPIC and reader != path:
            yield document.mistake(
                ("channels", position),
                f"{reader} already reads {topic}, and a notification does not show which of the filters "
                "it passed: combine the filters with & (which means or), or remove the filters",
            )


def _contains(path: str, other: str) -> bool:
    # The org chooses the events of a custom channel, so Streamer can't compare them.
    return path == "/data/ChangeEvents" != other and other.endswith("ChangeEvent")


def _port_taken_twice(draft: Draft, document: Document) -> Iterator[str]:
    settings = draft.settings
    sections = {"observe": settings.observe, "admin": settings.admin, "outbound": settings.outbound}
    listeners = [
        (name, each)
        for name, each in sections.items()
        if each is not None and each.port and draft.is_sound(name)
    ]
    for (first, one), (second, other) in combinations(listeners, 2):
        # Without a host, the probes listen at least on loopback.
        hosts = [each.host or "localhost" for each in (other, one)]
        if one.port == other.port and _meet(*hosts):
            is_given = document.at((second, "port")) is not None
            named, beside = (second, first) if is_given else (first, second)
            yield document.mistake(
                (named, "port"), f"found {one.port}, which is also {beside}.port: choose another port"
            )


def _meet(host: str, other: str) -> bool:
    """Return true when listeners at both addresses can't share a port."""
    if host == other or _EVERYWHERE.intersection((host, other)):
        return True
    return is_loopback(host) and is_loopback(other) and "localhost" in (host, other)


def _plaintext(draft: Draft, document: Document) -> Iterator[str]:
    """Yield a message if Streamer sends events, or a password, to a remote broker without encryption."""
    kafka = draft.settings.log.kafka
    if kafka is None or kafka.allow_plaintext or not draft.is_sound("log"):
        return
    protocol = kafka.security.protocol
    if host := plaintext_host(kafka.bootstrap_servers, kafka.security):
        yield document.mistake(
            ("log", "kafka", "security", "protocol"),
            f"is {protocol}, and anyone on the network to {host} can read the events: use "
            f"{protocol.replace('PLAINTEXT', 'SSL')}, or set log.kafka.allow_plaintext if you trust that "
            "network",
        )
    registry = kafka.schema_registry
    url = urlsplit(registry.url) if registry else None
    if url is not None and url.scheme == "http" and not is_loopback(url.hostname or ""):
        yield document.mistake(
            ("log", "kafka", "schema_registry", "url"),
            f"anyone on the network to {url.hostname} can read the credentials and change the schemas: use "
            "https, or set log.kafka.allow_plaintext if you trust that network",
        )


def _unmatched(
    name: SubscriberName, subscriber: SubscriberSettings, draft: Draft, document: Document
) -> Iterator[str]:
    keys: Keys = ("subscribers", name, "on")
    carried = [Carried.by(path) for path in draft.settings.paths]
    knows_channels = draft.is_sound("channels") and draft.is_sound("outbound")
    for index, pattern in enumerate(subscriber.on):
        place = (*keys, index) if isinstance(document.at(keys), list) else keys
        found = document.shown(place)
        if not any(each.can_match(pattern) for each in ANYTHING):
            hint = nearest(pattern, carried if knows_channels else ANYTHING)
            meant = f"did you mean {hint}? " if hint else ""
            yield document.mistake(place, f"found {found}, which matches no event type; {meant}{_EXAMPLES}")
        elif knows_channels and not any(each.can_match(pattern) for each in carried):
            channel, hint = channel_for(pattern), nearest(pattern, carried)
            advice = [f"add the channel {channel}"] * bool(channel) + [f"write {hint}"] * bool(hint)
            whole = "; ".join(
                [f"found {found}, which no channel carries", *filter(None, [", or ".join(advice)])]
            )
            yield document.mistake(place, whole)
