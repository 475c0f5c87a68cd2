"""Chains of subscribers that come after each other, and the mistakes in them."""

import difflib
from collections.abc import Iterator, Mapping

from streamer.configuration.document import Document, Keys
from streamer.configuration.draft import Draft
from streamer.events import Start, SubscriberName
from streamer.settings import SubscriberSettings

Subscribers = Mapping[SubscriberName, SubscriberSettings]


def upstream(name: SubscriberName, subscribers: Subscribers) -> frozenset[SubscriberName]:
    """Return the subscribers that an event has passed before it comes to `name`."""
    found: set[SubscriberName] = set()
    left = [name]
    while left:
        known = subscribers.get(left.pop())
        new = set(known.after) - found if known else set()
        found |= new
        left += new
    return frozenset(found)


def downstream(name: SubscriberName, subscribers: Subscribers) -> tuple[SubscriberName, ...]:
    """Return the subscribers that come directly after `name`, in their order in the configuration."""
    return tuple(each for each, settings in subscribers.items() if name in settings.after)


def chain_mistakes(draft: Draft, document: Document) -> Iterator[str]:
    """Yield a message for each mistake in the chains."""
    subscribers = {
        name: each
        for name, each in draft.settings.subscribers.items()
        if draft.is_sound("subscribers", name, "after")
    }
    given = document.at(("subscribers",))
    # A subscriber with a mistake of its own is there all the same.
    of_given = [each for each in given if isinstance(each, str)] if isinstance(given, dict) else []
    known = {*draft.settings.subscribers, *of_given}
    for name, each in subscribers.items():
        yield from _useless(name, each, document)
        for place, before in _named(name, each, document):
            if before not in known:
                close = difflib.get_close_matches(before, sorted(known - {name}), n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                found = document.shown(place)
                yield document.mistake(place, f"found {found}, and there is no such subscriber{hint}")
            elif each.after.count(before) > 1:
                yield document.mistake(place, f"{before} is named twice: remove one of the two")
            elif nearer := _nearer(name, before, subscribers):
                told = f"{nearer} comes after {before} already: remove {before}; its receipt is there too"
                yield document.mistake(place, told)
    yield from _cycles(subscribers, document)


def _useless(name: SubscriberName, settings: SubscriberSettings, document: Document) -> Iterator[str]:
    """Yield a message for each key that has no effect where it stands; a default says nothing."""
    keys: Keys = ("subscribers", name)
    if not settings.after and settings.on_rejected != "skip":
        yield document.mistake((*keys, "on_rejected"), "has no effect without after: remove it")
    if len(settings.after) > 1 and settings.order == "none":
        yield document.mistake(
            (*keys, "order"),
            "must not be none after several subscribers: their events meet by key; use key, or name one",
        )
    if settings.after and settings.start is not Start.LATEST:
        yield document.mistake(
            (*keys, "start"),
            f"has no effect beside after: it begins with the first event that {settings.after[0]} forwards "
            "to it; remove it",
        )


def _named(
    name: SubscriberName, settings: SubscriberSettings, document: Document
) -> Iterator[tuple[Keys, SubscriberName]]:
    keys: Keys = ("subscribers", name, "after")
    is_list = isinstance(document.at(keys), list)
    for index, before in enumerate(settings.after):
        yield ((*keys, index) if is_list else keys), before


def _nearer(name: SubscriberName, before: SubscriberName, subscribers: Subscribers) -> SubscriberName | None:
    """Return another one after which `name` comes, and which comes after `before` itself; none in a cycle."""
    if name in upstream(name, subscribers):
        return None
    others = (other for other in subscribers[name].after if other != before)
    return next((other for other in others if before in upstream(other, subscribers)), None)


def _cycles(subscribers: Subscribers, document: Document) -> Iterator[str]:
    """Yield a message for each cycle, at the first of its subscribers."""
    told: set[SubscriberName] = set()
    for name in subscribers:
        cycle = [] if name in told else _cycle(name, subscribers)
        told.update(cycle)
        if len(cycle) == 1:
            sentence = "it can't come after itself: remove it"
        else:
            sentence = f"it comes after itself: {' after '.join([*cycle, name])}; remove one of these"
        if cycle:
            yield document.mistake(("subscribers", name, "after"), sentence)


def _cycle(name: SubscriberName, subscribers: Subscribers) -> list[SubscriberName]:
    """Return a shortest path from `name` through `after` back to it, without its end; empty if none."""
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
