"""Open streams of all clients."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from streamer.sandbox.pubsub.errors import CLIENT_LIMIT, exhausted
from streamer.sandbox.pubsub.subscription import EventStream


class Streams:
    """Counts the open streams, and wakes their subscriptions."""

    def __init__(self, most: int) -> None:
        """Admit `most` streams at a time."""
        self._most = most
        self._open = 0
        self._subscriptions: defaultdict[str, set[EventStream]] = defaultdict(set)

    def __len__(self) -> int:
        """Return the number of open streams."""
        return self._open

    @property
    def topics(self) -> frozenset[str]:
        """Topics that have a subscription."""
        return frozenset(path for path, subscriptions in self._subscriptions.items() if subscriptions)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Return a context that counts a stream; raises `CallAborted` when there are too many."""
        if self._open >= self._most:
            raise exhausted(CLIENT_LIMIT, "The org has too many concurrent clients.")
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    @contextmanager
    def subscribed(self, subscription: EventStream) -> Iterator[None]:
        """Return a context in which the subscription is notified of its topic's messages."""
        self._subscriptions[subscription.path].add(subscription)
        try:
            yield
        finally:
            same = self._subscriptions[subscription.path]
            same.discard(subscription)
            if not same:
                del self._subscriptions[subscription.path]

    def on_publish(self, paths: Sequence[str]) -> None:
        """Wake the subscriptions of topics that have a new message."""
        for path in paths:
            for subscription in self._subscriptions.get(path, ()):
                subscription.wake()

    def wake(self) -> None:
        """Wake all subscriptions, for example after a token was revoked."""
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.wake()
