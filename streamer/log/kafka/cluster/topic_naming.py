"""Names of event topics, and the way back from a topic to the event types that it holds."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from streamer.settings import KafkaLogSettings

_KINDS = ("cdc", "event", "topic", "generic", "outbound")
# Kind of an event whose type is not one of Salesforce's.
_OTHER = "other"
_HEAD = "salesforce"
_KIND, _NAME, _PARTS = 1, 2, 3
_NAMED, _KINDED = "{name}", "{kind}"
_MAX_LENGTH = 249
_NOT_IN_A_TOPIC = re.compile(r"[^A-Za-z0-9._-]")
_STAR = "*"
_CHARACTERS = "[A-Za-z0-9_]*"
# A topic whose name begins with an underscore belongs to the broker.
_ANY_NAME = f"[A-Za-z]{_CHARACTERS}"

NamingMistake = tuple[Sequence[str], str]
"""Key below `log.kafka`, and the sentence about its mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicNaming:
    """Templates of topic names with `{kind}` and `{name}`.

    `templates` has the templates of single kinds, and `template` is for all other kinds.
    `names` has the topics of single entities and events by their kind and name, such as
    `cdc.Account`. If `is_lower`, names that follow from a template are in lower case. With
    `has_versions`, an event topic can also end with a version, such as `.v2`. Such a topic
    has the events whose schemas are incompatible with those of the topic before.
    """

    template: str
    templates: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    is_lower: bool = False
    has_versions: bool = False

    @classmethod
    def of(cls, settings: KafkaLogSettings) -> "TopicNaming":
        """Return the naming that follows from `settings`."""
        return cls(
            template=settings.topic,
            templates=settings.topics.model_dump(exclude_none=True),
            names=settings.topic_names,
            is_lower=settings.topic_case == "lower",
            # The topics stay when schemas are switched off.
            has_versions=settings.schema_registry is not None,
        )

    def topic(self, event_type: str) -> str:
        """Return the topic of an event type; all changes of an entity share one topic."""
        parts = event_type.split(".")
        kind, name = parts[_KIND:_PARTS] if len(parts) >= _PARTS else (_OTHER, event_type)
        if known := self.names.get(f"{kind}.{name}"):
            return known
        topic = self.family(kind).replace(_NAMED, name)
        topic = _NOT_IN_A_TOPIC.sub("_", topic)[:_MAX_LENGTH]
        return topic.lower() if self.is_lower else topic

    def family(self, kind: str) -> str:
        """Return the template of the topics of one kind; it contains `{name}`, or is their only topic."""
        template = self.templates.get(kind, self.template).replace(_KINDED, kind)
        return template.lower() if self.is_lower else template

    def stem(self, topic: str) -> str | None:
        """Return the prefix of the event types in an event topic; `None` for any other topic.

        The prefix has `*` for the kind if events of several kinds can be in the topic, and
        `*` for the name if the topic holds all events of its kind. A name in lower case
        stays in lower case.
        """
        first = re.sub(f"{self._version}$", "", topic)
        return self._stem(topic) or (self._stem(first) if first != topic else None)

    def _stem(self, topic: str) -> str | None:
        for key, own in self.names.items():
            if own == topic:
                return f"{_HEAD}.{key}"
        found = {kind: name for kind in (*_KINDS, _OTHER) if (name := self._name(kind, topic))}
        if not found:
            return None
        kind, name = next(iter(found.items()))
        return f"{_HEAD}.{kind if len(found) == 1 else _STAR}.{name}"

    def expressions(self, patterns: Sequence[str]) -> tuple[str, ...]:
        """Return the regular expressions to subscribe to for event-type `patterns`.

        Each expression is anchored for librdkafka. Every wanted event is in a matching
        topic, but some matching topics can be without wanted events. A pattern that names
        its entity also becomes an expression, because librdkafka reports an error for a
        plain topic that does not exist. The topic that follows from a template also
        matches if the entity has a name of its own: events can be left in it.
        """
        wanted = filter(None, map(_kind_and_name, patterns))
        found = (each for kind, name in wanted for each in self._expressions(kind, name))
        return tuple(dict.fromkeys(f"^{each}{self._version}$" for each in found))

    def versions(self, topic: str, topics: Iterable[str]) -> Iterator[str]:
        """Yield `topic` and its later versions in `topics`."""
        return matching(topics, [f"^{_escaped(topic)}{self._version}$"])

    @property
    def _version(self) -> str:
        """Expression of the version at the end of a topic; librdkafka's expressions know no shorter forms."""
        return r"(\.v[0-9]+)?" if self.has_versions else ""

    def mistakes(self, is_internal: Callable[[str], bool]) -> Iterator[NamingMistake]:
        """Yield the names that also stand for other events, or for Streamer's own topics."""
        yield from self._overlapping_templates()
        for kind in self.templates:
            if is_internal(self.family(kind)):
                yield (
                    ("topics", kind),
                    f"{self.family(kind)} is a topic of Streamer's own: choose another name",
                )
        former: dict[str, str] = {}
        for key, topic in self.names.items():
            if sentence := self._mistake_of_name(key, topic, former, is_internal):
                yield ("topic_names", key), sentence
            former.setdefault(topic, key)

    def _mistake_of_name(
        self, key: str, topic: str, former: Mapping[str, str], is_internal: Callable[[str], bool]
    ) -> str:
        if is_internal(topic):
            return f"{topic} is a topic of Streamer's own: choose another name"
        if other := former.get(topic):
            return (
                f"{topic} is also the topic of {other}: choose another name, or let all events of the "
                f"kind share a topic by log.kafka.topics.{key.partition('.')[0]}"
            )
        for kind in _KINDS:
            name = self._name(kind, topic)
            if name and f"{kind}.{name}" != key:
                template = f"log.kafka.{self._place(kind)}"
                return f"{topic} can also be the topic of {kind}.{name}, by {template}: choose another name"
        return ""

    def _overlapping_templates(self) -> Iterator[NamingMistake]:
        told: set[str] = set()
        for first, second in combinations(_KINDS, 2):
            one, other = self.family(first), self.family(second)
            kind, beside = (second, first) if second in self.templates else (first, second)
            # Kinds with the same template share their topics, as the operator asks.
            if kind in told or one == other or not _overlap(one, other):
                continue
            told.add(kind)
            sentence = (
                f"a topic can have a name by this template and by log.kafka.{self._place(beside)}: "
                "give the two templates different beginnings, such as a part with {kind}"
            )
            yield ("topics", kind), sentence

    def _place(self, kind: str) -> str:
        return f"topics.{kind}" if kind in self.templates else "topic"

    def _name(self, kind: str, topic: str) -> str | None:
        """Return the name of the entity or event in a topic of `kind`; `None` for any other topic."""
        first, *others = map(re.escape, self.family(kind).split(_NAMED))
        if not others:
            return _STAR if topic == self.family(kind) else None
        more, *again = others
        expression = f"{first}(?P<name>[^.]+){more}" + "".join(f"(?P=name){each}" for each in again)
        found = re.fullmatch(expression, topic)
        return None if found is None or (self.is_lower and topic != topic.lower()) else found["name"]

    def _expressions(self, kind: str, name: str) -> Iterator[str]:
        """Yield the expressions of topics whose kind and name match these expressions."""
        of_kind, of_name = re.compile(kind), re.compile(name)
        if of_others := self._of_others(kind, of_kind):
            yield self._expression(self.template, of_others, name)
        for each, template in self.templates.items():
            if of_kind.fullmatch(each):
                yield self._expression(template, each, name)
        for key, topic in self.names.items():
            each, _, own = key.partition(".")
            if of_kind.fullmatch(each) and of_name.fullmatch(own):
                yield _escaped(topic)

    def _of_others(self, kind: str, of_kind: re.Pattern[str]) -> str:
        """Return the expression of the kinds that `template` is for; empty if `kind` matches none of them."""
        if not self.templates:
            return kind
        others = [
            each for each in (*_KINDS, _OTHER) if each not in self.templates and of_kind.fullmatch(each)
        ]
        return others[0] if len(others) == 1 else f"({'|'.join(others)})" if others else ""

    def _expression(self, template: str, kind: str, name: str) -> str:
        found = _escaped(template).replace(_KINDED, kind).replace(_NAMED, name)
        return found.replace("A-Z", "").lower() if self.is_lower else found


def matching(topics: Iterable[str], expressions: Sequence[str]) -> Iterator[str]:
    """Yield the topics in `topics` that match any of `expressions`."""
    return (topic for topic in topics if any(re.match(expression, topic) for expression in expressions))


def _kind_and_name(pattern: str) -> tuple[str, str] | None:
    """Return expressions for the kinds and the names that `pattern` matches; `None` if there are none."""
    literal, star, _ = pattern.partition(_STAR)
    parts = literal.split(".")
    head_matches = parts[0] == _HEAD or (star and len(parts) == 1 and _HEAD.startswith(parts[0]))
    if not head_matches or not (star or len(parts) > _NAME):
        return None
    if any(re.fullmatch(_CHARACTERS, part) is None for part in parts[_KIND : _NAME + 1]):
        return None
    return _part(parts, _KIND, bool(star)), _part(parts, _NAME, bool(star))


def _part(parts: Sequence[str], number: int, star: bool) -> str:  # noqa: FBT001 - read next to its callers
    if number >= len(parts):
        return _ANY_NAME
    # A part that is followed by a dot is complete; the star can continue only the last part.
    whole = number < len(parts) - 1 or not star
    return parts[number] if whole else parts[number] + _CHARACTERS


def _overlap(one: str, other: str) -> bool:
    """Return whether two different templates of names can give the same topic."""
    if _NAMED not in one or _NAMED not in other:
        named, only = (one, other) if _NAMED in one else (other, one)
        head, _, tail = named.partition(_NAMED)
        expression = re.escape(head) + _ANY_NAME + re.escape(tail)
        return re.fullmatch(expression, only) is not None
    heads = one.partition(_NAMED)[0], other.partition(_NAMED)[0]
    tails = one.rpartition(_NAMED)[2], other.rpartition(_NAMED)[2]
    longer, shorter = sorted(heads, key=len, reverse=True)
    if not longer.startswith(shorter) or re.fullmatch(f"({_ANY_NAME})?", longer[len(shorter) :]) is None:
        return False
    longer, shorter = sorted(tails, key=len, reverse=True)
    rest = longer[: len(longer) - len(shorter)]
    return longer.endswith(shorter) and re.fullmatch(_CHARACTERS, rest) is not None


def _escaped(name: str) -> str:
    # The dot is the only special character that a topic and a template can contain.
    return name.replace(".", r"\.")
