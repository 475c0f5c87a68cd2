"""Graph of a configuration: channels, event types and subscribers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from streamer.configuration import Document, Draft
from streamer.configuration.chains import chain_mistakes
from streamer.configuration.event_types import Carried
from streamer.errors import ConfigurationError
from streamer.events import JsonObject, SubscriberName
from streamer.known_secrets import MASK
from streamer.settings import SubscriberSettings

_DRAWN = ("uses", "on", "after", "on_rejected")
_MOST_CHARACTERS = 60


class NodeKind(StrEnum):
    """Kind of a node."""

    CHANNEL = "channel"
    TYPE = "type"
    SUBSCRIBER = "subscriber"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Channel, pattern of event types or subscriber, with a few words about it and its `when` in one line."""

    kind: NodeKind
    name: str
    note: str = ""
    when: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Nodes, and the arrows between them as pairs, both in the order of the configuration.

    The arrows form no cycle. `subscribers` describes the subscribers as JSON.
    """

    arrows: Sequence[tuple[Node, Node]]
    nodes: Sequence[Node]
    subscribers: Sequence[JsonObject]

    def after(self, node: Node) -> list[Node]:
        """Return the nodes to which arrows go from `node`."""
        return [head for tail, head in self.arrows if tail == node]

    def before(self, node: Node) -> list[Node]:
        """Return the nodes from which arrows come to `node`."""
        return [tail for tail, head in self.arrows if head == node]

    def depths(self) -> Mapping[Node, int]:
        """Return the number of arrows on the longest way to each node."""
        found: dict[Node, int] = {}

        def depth(node: Node) -> int:
            if node not in found:
                found[node] = max((1 + depth(tail) for tail in self.before(node)), default=0)
            return found[node]

        return {node: depth(node) for node in self.nodes}


def graph(draft: Draft, document: Document) -> Graph:
    """Return the graph of a configuration; its secrets can be missing.

    Raises `ConfigurationError` for a mistake in the sections that are drawn.
    """
    names = draft.settings.subscribers
    are_sound = draft.is_sound("channels") and all(
        draft.is_sound("subscribers", name, key) for name in names for key in _DRAWN
    )
    if not are_sound:
        raise ConfigurationError("\n".join(draft.lines))
    if mistakes := list(chain_mistakes(draft, document)):
        raise ConfigurationError("\n".join(mistakes))
    return _graph(draft, {name: _when(name, draft, document) for name in names})


def shortened(text: str) -> str:
    """Return as much of `text`, in one line, as a drawing has room for."""
    line = "".join(each if each.isprintable() else " " for each in " ".join(text.split()))
    return line if len(line) <= _MOST_CHARACTERS else line[: _MOST_CHARACTERS - 1] + "…"


def _graph(draft: Draft, whens: Mapping[SubscriberName, str | None]) -> Graph:
    settings = draft.settings
    subscribers = {
        name: Node(
            kind=NodeKind.SUBSCRIBER,
            name=name,
            note=_note(each),
            when=shortened(f"when {when}") if (when := whens[name]) is not None else "",
        )
        for name, each in settings.subscribers.items()
    }
    arrows: list[tuple[Node, Node]] = []
    types: dict[str, Node] = {}
    channels = [Node(kind=NodeKind.CHANNEL, name=path) for path in settings.paths]
    for name, each in settings.subscribers.items():
        for pattern in () if each.after else each.on:
            if pattern not in types:
                types[pattern] = Node(kind=NodeKind.TYPE, name=pattern)
                carriers = [each for each in channels if Carried.by(each.name).can_match(pattern)]
                arrows += [(channel, types[pattern]) for channel in carriers]
            arrows.append((types[pattern], subscribers[name]))
        arrows += [(subscribers[before], subscribers[name]) for before in each.after]
    return Graph(
        arrows=arrows,
        nodes=[*channels, *types.values(), *subscribers.values()],
        subscribers=[_as_json(name, each, whens[name]) for name, each in settings.subscribers.items()],
    )


def _note(settings: SubscriberSettings) -> str:
    told = [settings.uses]
    if settings.after and settings.on and not any(map(_is_every_type, settings.on)):
        told.append(f"only {', '.join(settings.on)}")
    if len(settings.after) > 1:
        told.append(f"after {', '.join(settings.after[:-1])} and {settings.after[-1]}")
    if settings.on_rejected == "run":
        told.append("also what was rejected")
    return ", ".join(told)


def _is_every_type(pattern: str) -> bool:
    return not pattern.strip("*")


def _when(name: SubscriberName, draft: Draft, document: Document) -> str | None:
    """Return the subscriber's `when`, hidden where it can't be read or can be a secret."""
    keys = ("subscribers", name, "when")
    when = draft.settings.subscribers[name].when
    is_shown = when is None or (draft.is_sound(*keys) and not document.is_secret(keys))
    return when if is_shown else MASK


def _as_json(name: str, settings: SubscriberSettings, when: str | None) -> JsonObject:
    return {
        "name": name,
        "uses": settings.uses,
        "on": list(settings.on),
        "when": when,
        "after": list(settings.after),
        "on_rejected": settings.on_rejected,
    }
