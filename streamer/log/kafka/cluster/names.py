"""What things of ours are called in Kafka."""

import re
from dataclasses import dataclass

from streamer.events import SubscriberName
from streamer.settings import KafkaLogSettings

_TYPE_PARTS = 3
_PARKED = "parked"
_MAX_TOPIC_LENGTH = 249
_NOT_IN_A_TOPIC = re.compile(r"[^A-Za-z0-9._-]")
_PLACE = re.compile(r"\\{(kind|name)\\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Names of topics, groups and transactional ids, all under one prefix."""

    prefix: str
    template: str

    @classmethod
    def of(cls, settings: KafkaLogSettings) -> "Names":
        """Return the names that `settings` ask for."""
        return cls(prefix=settings.prefix, template=settings.topic)

    @property
    def checkpoints(self) -> str:
        """The topic of the channels' checkpoints."""
        return f"{self.prefix}.checkpoints"

    @property
    def dead_letters(self) -> str:
        """The topic of what was set aside."""
        return f"{self.prefix}.dead-letters"

    @property
    def continuity(self) -> str:
        """The topic of the records of holes."""
        return f"{self.prefix}.continuity"

    @property
    def control(self) -> str:
        """The topic of what is switched."""
        return f"{self.prefix}.control"

    @property
    def audit(self) -> str:
        """The topic of what was done."""
        return f"{self.prefix}.audit"

    @property
    def receipts(self) -> str:
        """The topic of the receipts."""
        return f"{self.prefix}.receipts"

    def parked(self, subscriber: SubscriberName) -> str:
        """Return the topic of what a subscriber has parked."""
        return f"{self.prefix}.{_PARKED}.{subscriber}"

    @property
    def ingest_group(self) -> str:
        """The consumer group whose members share the channels."""
        return f"{self.prefix}.ingest"

    def ingest_transactions(self, partition: int) -> str:
        """Return the transactional id of whoever owns `partition` of the checkpoints."""
        return f"{self.prefix}.ingest.{partition}"

    @property
    def trial_transactions(self) -> str:
        """The transactional id by which a start finds out whether there can be any."""
        return f"{self.prefix}.ingest.trial"

    def dispatch_group(self, subscriber: SubscriberName) -> str:
        """Return the consumer group of a subscriber."""
        return f"{self.prefix}.dispatch.{subscriber}"

    def event_topic(self, event_type: str) -> str:
        """Return the topic of an event type: one for all changes of an entity.

        `salesforce.cdc.Account.updated` is of kind `cdc` and name `Account`.
        """
        parts = event_type.split(".")
        kind, name = parts[1:_TYPE_PARTS] if len(parts) >= _TYPE_PARTS else ("other", event_type)
        topic = self.template.format(kind=kind, name=name)
        return _NOT_IN_A_TOPIC.sub("_", topic)[:_MAX_TOPIC_LENGTH]

    def event_type_stem(self, topic: str) -> str | None:
        """Return how the types in an event topic begin, or `None` for another topic.

        `*` stands for the kind where the template does not tell it. Foreign
        topics may fit the template as well.
        """
        if self.is_internal(topic):
            return None
        found = re.fullmatch(self._topic_expression(), topic)
        if found is None:
            return None
        return f"salesforce.{found.groupdict().get('kind', '*')}.{found['name']}"

    @property
    def internal(self) -> frozenset[str]:
        """The topics of Streamer's own that there always are."""
        return frozenset(
            {
                self.checkpoints,
                self.dead_letters,
                self.continuity,
                self.control,
                self.audit,
                self.receipts,
            }
        )

    def is_internal(self, topic: str) -> bool:
        """Whether `topic` is Streamer's own and so holds no events, whatever the template says."""
        return topic in self.internal or topic.startswith(f"{self.prefix}.{_PARKED}.")

    @property
    def internal_expressions(self) -> str:
        """Regular expressions of all topics that are Streamer's own, as librdkafka's lists want them."""
        # Of the characters that a prefix may hold, only the dot has a meaning of its own.
        escaped = [name.replace(".", r"\.") for name in sorted(self.internal)]
        parked = f"{self.prefix}.{_PARKED}.".replace(".", r"\.")
        return ",".join([*(f"^{name}$" for name in escaped), f"^{parked}"])

    def _topic_expression(self) -> str:
        seen: set[str] = set()

        def place(match: re.Match[str]) -> str:
            name = match[1]
            if name in seen:
                return f"(?P={name})"
            seen.add(name)
            return f"(?P<{name}>[^.]+)"

        return _PLACE.sub(place, re.escape(self.template))
