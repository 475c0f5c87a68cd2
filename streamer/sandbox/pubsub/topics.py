"""Topics: the channels that the Pub/Sub API serves, their schemas and the users' access to them."""

from dataclasses import dataclass

from streamer.sandbox.access.events import EventView, channel_refusal
from streamer.sandbox.access.user import ObjectPermission, User
from streamer.sandbox.org.channels import ALL_CHANGES
from streamer.sandbox.org.org import SandboxOrg
from streamer.sandbox.org.schema import Entity, PlatformEvent, changed_type
from streamer.sandbox.pubsub.errors import TOPIC_EMPTY, invalid, topic_denied, topic_not_found

_KINDS = ("/data/", "/event/")


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxTopic:
    """One topic.

    `definition` describes its events, and is `None` if the topic carries several kinds
    of events.
    """

    path: str
    definition: Entity | PlatformEvent | None

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition("/")[2]


class SandboxTopics:
    """Finds the topics of the org."""

    def __init__(self, org: SandboxOrg) -> None:
        self._org = org

    def find(self, path: str) -> SandboxTopic:
        """Return the topic at a path; raises `CallAborted` if there is no such topic."""
        if not path:
            raise invalid(TOPIC_EMPTY, "The topic's name is empty.")
        if not path.startswith(_KINDS) or self._org.channels.refusal(path) is not None:
            raise topic_not_found(path)
        return SandboxTopic(path=path, definition=self._definition(path))

    def schema_id(self, topic: SandboxTopic) -> str:
        """Return the id of the schema of the topic's next event.

        Empty for a topic with several kinds of events.
        """
        return "" if topic.definition is None else self._org.event_schemas.id_of(topic.definition)

    def default_schema_id(self, topic: SandboxTopic) -> str:
        """Return the schema id for an event of the topic whose own schema id can't be read."""
        return self.schema_id(topic) or self._org.event_schemas.id_of(self._org.schema.entity("Account"))

    def can_subscribe(self, user: User, topic: SandboxTopic) -> bool:
        """Return whether the user can subscribe to a topic."""
        return channel_refusal(user, topic.path) is None

    def can_publish(self, user: User, topic: SandboxTopic) -> bool:
        """Return whether the user can publish to a topic, which must be a custom platform event."""
        is_event = isinstance(topic.definition, PlatformEvent)
        return (
            is_event
            and self._org.schema.is_platform_event(topic.name)
            and user.may(topic.name, ObjectPermission.CREATE)
        )

    def check_access(self, user: User, topic: SandboxTopic) -> None:
        """Raise `CallAborted` if the user can neither subscribe nor publish to a topic."""
        if not (self.can_subscribe(user, topic) or self.can_publish(user, topic)):
            raise topic_denied(topic.path)

    def can_read_schema(self, user: User, event_name: str) -> bool:
        """Return whether the user can read the schema of an event."""
        return user.may(changed_type(event_name) or event_name, ObjectPermission.READ)

    def view(self, user: User) -> EventView | None:
        """Return the function that shows events to the user; `None` for a user who can see everything."""
        return EventView(self._org.schema, user) if user.is_restricted else None

    def _definition(self, path: str) -> Entity | PlatformEvent | None:
        _, kind, name = path.split("/", 2)
        if path == ALL_CHANGES or name.endswith("__chn"):
            return None
        if kind == "event":
            return self._org.schema.event(name) or self._org.event_schemas.open_event(name)
        entity = changed_type(name)
        return None if entity is None else self._org.schema.entity(entity)
