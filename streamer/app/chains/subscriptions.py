"""Chains of subscribers, as the log and dispatch represent them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from streamer.configuration.consistency import Subscribers, downstream, upstream
from streamer.dispatch.forwarding import Downstream, Forwarding, Upstream
from streamer.events import Start, SubscriberName
from streamer.log.patterns import wants

if TYPE_CHECKING:
    from streamer.ports import Subscription

_EVERYTHING = ("*",)


def subscription(name: SubscriberName, subscribers: Subscribers) -> Subscription:
    """Return the events that the subscriber `name` selects, and the subscribers to which `name` forwards."""
    from streamer.ports import Subscription  # noqa: PLC0415 - a check subscribes to nothing

    settings = subscribers[name]
    later = downstream(name, subscribers)
    return Subscription(
        subscriber=name,
        patterns=settings.on or _EVERYTHING,
        start=Start.EARLIEST if settings.after else settings.start,
        # A delivery that is forwarded twice would start the downstream subscribers twice.
        receipts=settings.receipts or bool(later),
        after=settings.after,
        downstream=later,
    )


def upstream_of(name: SubscriberName, subscribers: Subscribers) -> Upstream:
    """Return the subscribers that `name` comes after."""
    settings = subscribers[name]
    return Upstream(
        names=settings.after,
        runs_rejected=settings.on_rejected == "run",
        passed={each: upstream(each, subscribers) for each in settings.after},
        takes=selects(name, subscribers),
    )


def forwarding_of(name: SubscriberName, subscribers: Subscribers) -> Forwarding | None:
    """Return the forwarding to the subscribers after `name`, or `None` if no subscriber follows."""
    later = {each: subscribers[each] for each in downstream(name, subscribers)}
    if not later:
        return None
    # A subscriber that joins several chains must hear which events will not arrive, or it would
    # wait for them.
    joining = {each for each, settings in subscribers.items() if len(settings.after) > 1}
    asking = joining.union(*(upstream(each, subscribers) for each in joining))
    return Forwarding(
        name=name,
        downstream=tuple(
            Downstream(
                name=each,
                hears_rejections=settings.on_rejected == "run" or each in asking,
                hears_skips=each in asking,
            )
            for each, settings in later.items()
        ),
    )


def selects(name: SubscriberName, subscribers: Subscribers) -> Callable[[str], bool]:
    """Return a test of event types, which is true if the events can pass all subscribers before `name`."""
    passed = {name, *upstream(name, subscribers)} & subscribers.keys()
    tests = [wants(subscribers[each].on or _EVERYTHING) for each in passed]
    return lambda event_type: all(test(event_type) for test in tests)
