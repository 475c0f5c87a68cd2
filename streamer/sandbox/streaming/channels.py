"""Subscriptions to PushTopics and generic channels: which messages a subscriber gets."""

from dataclasses import dataclass
from urllib.parse import parse_qsl

import orjson

from streamer.clock import Clock
from streamer.sandbox.access.user import ObjectPermission, User
from streamer.sandbox.cometd import MessageView
from streamer.sandbox.org.bus import EventBus
from streamer.sandbox.org.org import SandboxOrg
from streamer.sandbox.streaming.generic_channels import PREFIX as GENERIC
from streamer.sandbox.streaming.generic_channels import GenericChannels
from streamer.sandbox.streaming.push_topics import PREFIX as TOPIC
from streamer.sandbox.streaming.push_topics import PushTopics

_NO_ENTITY = "403::Subscriber does not have access to the entity in this topic"
_NO_FIELDS = (
    "403::Subscriber does not have access to all fields referenced in the where clause of the PushTopic"
)


@dataclass(frozen=True, slots=True)
class _SobjectView:
    """Shows notifications of one type without the fields that a user can't see."""

    user: User
    entity: str

    def __call__(self, data: bytes) -> bytes | None:
        try:
            message = orjson.loads(data)
            sobject = message["sobject"]
        except (orjson.JSONDecodeError, KeyError):
            # An unreadable message has no fields to hide.
            return data
        shown = {name: value for name, value in sobject.items() if not self.user.hides(self.entity, name)}
        return orjson.dumps({**message, "sobject": shown})


class StreamingChannels:
    """The channels under `/topic/` and `/u/`."""

    def __init__(self, org: SandboxOrg, bus: EventBus, clock: Clock) -> None:
        self.topics = PushTopics(org, bus, clock)
        self.generic = GenericChannels(org, bus, clock)

    def has(self, path: str) -> bool:
        """Return true for the path of such a channel, even if the channel does not exist."""
        return path.startswith((TOPIC, GENERIC))

    def refusal(self, path: str, user: User | None) -> str | None:
        """Return the reason why a user can't subscribe to `path`, or `None`."""
        if path.startswith(GENERIC):
            return self.generic.refusal(path)
        query = self.topics.query(path.removeprefix(TOPIC))
        if query is None:
            return f"400::The channel you requested to subscribe to doesn't exist {{{path}}}"
        entity = query.entity.name
        if user is not None and not user.may(entity, ObjectPermission.READ):
            return _NO_ENTITY
        if user is not None and any(user.hides(entity, name) for name in query.filtered):
            return _NO_FIELDS
        return None

    def filter_refusal(self, name: str) -> str | None:
        """Return the reason why the filter after `?` in a channel's name can't be used, or `None`."""
        path, _, wanted = name.partition("?")
        query = self.topics.query(path.removeprefix(TOPIC)) if wanted and path.startswith(TOPIC) else None
        if query is None:
            return None
        unknown = [field for field, _ in parse_qsl(wanted) if field not in query.selected]
        return (
            f"400::Query fields {{{', '.join(unknown)}}} do not exist on the topic entity"
            if unknown
            else None
        )

    def view(self, path: str, user_id: str, user: User) -> MessageView | None:
        """Return the function that shows messages of `path` to a user.

        `None` if the user can see everything.
        """
        if path.startswith(GENERIC):
            return self.generic.view(user_id)
        query = self.topics.query(path.removeprefix(TOPIC)) if user.hidden_fields else None
        return None if query is None else _SobjectView(user, query.entity.name)
