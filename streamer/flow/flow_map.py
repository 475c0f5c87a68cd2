"""Map of the flow at one moment: channels, the log and subscribers, with their states, rates and badges."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote, urlencode

from pydantic import TypeAdapter

from streamer.admin.subscribers import DeliveryState
from streamer.flow.glossary import HOLE, PARKED
from streamer.flow.labels import OrgLabel, ProcessLabel
from streamer.observe.durations import duration, since

_MINUTE_S = 60.0
NOTHING = "\N{EN DASH}"
"""Text for an unknown number."""


class Level(StrEnum):
    """Level of a state or a badge, ordered from the worst to the best."""

    BAD = "bad"
    """Events do not pass, or an operator must act."""
    WAITS = "waits"
    """Events wait, and Streamer or an operator already knows why."""
    GOOD = "good"
    QUIET = "quiet"
    """Unknown, such as a part whose process does not report it."""


_ORDER = tuple(Level)


def worst(levels: Sequence[Level]) -> Level:
    """Return the worst of `levels`, or quiet without levels."""
    return min(levels, key=_ORDER.index, default=Level.QUIET)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """State of a part in one `word`, with the `reason` for a state that is not good.

    `since` is the beginning of a state that needs attention, in epoch seconds, and
    `None` if it is unknown. `lasts_s` is the time since then.
    """

    word: str
    level: Level
    reason: str = ""
    since: float | None = None
    lasts_s: float = 0.0

    @property
    def since_when(self) -> str:
        """Beginning of the state in words, or empty."""
        return "" if self.since is None else since(self.since, self.lasts_s)

    @property
    def headline(self) -> str:
        """State with its beginning."""
        return " ".join(filter(None, (self.word, self.since_when)))

    @property
    def explanation(self) -> str:
        """Beginning and reason of the state."""
        return ": ".join(filter(None, (self.since_when, self.reason)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """Fact that needs attention; `page` is the path below /console that deals with it.

    `word` is the word of the glossary in the text, or empty.
    """

    text: str
    level: Level
    page: str
    word: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelNode:
    """Channel. `per_second` is the rate of events into the log in the last minute.

    `expires_in_s` is the time until Salesforce can drop the next events; it is set
    only when this time is short. `lasting_holes` counts the holes of the last week
    that no repair fills.
    """

    path: str
    state: NodeState
    per_second: float | None = None
    expires_in_s: float | None = None
    open_holes: int = 0
    lasting_holes: int = 0

    @property
    def name(self) -> str:
        """Path of the channel."""
        return self.path

    @property
    def page(self) -> str:
        """Page below /console that shows the channel."""
        return "/channels"

    @property
    def note(self) -> str:
        """Empty, because the edges show the channel's rate."""
        return ""

    @property
    def badges(self) -> Sequence[Badge]:
        """Facts about the channel that need attention, the worst first."""
        holes = f"/continuity?{urlencode({'channel': self.path})}"
        found = []
        if self.expires_in_s is not None:
            text = f"position expires in {duration(self.expires_in_s)}"
            page = f"/channels/position?{urlencode({'channel': self.path})}"
            found.append(Badge(text=text, level=Level.BAD, page=page))
        if self.lasting_holes:
            text = _counted(self.lasting_holes, "lasting hole")
            found.append(Badge(text=text, level=Level.BAD, page=holes, word=HOLE))
        if self.open_holes:
            text = f"{_counted(self.open_holes, 'hole')} in repair"
            found.append(Badge(text=text, level=Level.WAITS, page=f"{holes}&state=open", word=HOLE))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class LogNode:
    """Log, of the `kind` Kafka or SQLite. `unreadable` counts the dead letters of no subscriber."""

    kind: str
    state: NodeState
    unreadable: int | None = None

    @property
    def name(self) -> str:
        """Name of the log for people."""
        return f"{self.kind} log"

    @property
    def page(self) -> str:
        """Page below /console that shows the events in the log."""
        return "/events"

    @property
    def note(self) -> str:
        """Empty, because the edges show the log's numbers."""
        return ""

    @property
    def badges(self) -> Sequence[Badge]:
        """Facts about the log that need attention."""
        if not self.unreadable:
            return ()
        text = _counted(self.unreadable, "dead letter")
        return [Badge(text=text, level=Level.BAD, page="/dead-letters")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberNode:
    """Subscriber. `per_second` is the rate of deliveries in the last minute.

    `lag` counts events that are not settled, and `oldest_s` is the age of the oldest
    of them. Numbers are `None` while they are unknown in this process.
    """

    name: str
    uses: str
    state: NodeState
    after: tuple[str, ...] = ()
    per_second: float | None = None
    lag: int | None = None
    oldest_s: float = 0.0
    parked: int = 0
    dead_letters: int = 0
    has_open_circuit: bool = False

    @property
    def page(self) -> str:
        """Page below /console that shows the subscriber."""
        return f"/subscribers/{quote(self.name)}"

    @property
    def note(self) -> str:
        """Numbers of the waiting events in words."""
        if self.lag is None:
            return "another process delivers" if self.state.level is Level.QUIET else ""
        if not self.lag:
            return "nothing else waits" if self.parked else "nothing waits"
        return f"{self.lag:,} waiting, oldest {duration(self.oldest_s)}"

    @property
    def badges(self) -> Sequence[Badge]:
        """Facts about the subscriber that need attention, the worst first.

        The state already says that a target is down, so there is no badge for it.
        """
        query = urlencode({"subscriber": self.name})
        found = []
        if self.has_open_circuit and self.state.word != DeliveryState.TARGET_DOWN:
            found.append(Badge(text="open circuit", level=Level.BAD, page=self.page))
        if self.dead_letters:
            text = _counted(self.dead_letters, "dead letter")
            found.append(Badge(text=text, level=Level.BAD, page=f"/dead-letters?{query}"))
        if self.parked:
            text, page = f"{self.parked:,} parked", f"/parked?{query}"
            found.append(Badge(text=text, level=Level.WAITS, page=page, word=PARKED))
        return found


FlowNode = ChannelNode | LogNode | SubscriberNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Part of the map that needs attention, with the reasons in a few words."""

    name: str
    said: str
    level: Level
    page: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowMap:
    """Map of the flow through all processes that answer, `at` a time in epoch seconds.

    Subscribers are in the order of the configuration. `problem` is the reason why
    numbers from the log are missing, or empty. `process` names the processes whose
    rates, waiting events and parked keys are in the map.
    """

    org: OrgLabel
    at: float
    channels: Sequence[ChannelNode]
    log: LogNode
    subscribers: Sequence[SubscriberNode]
    problem: str = ""
    process: ProcessLabel = field(default_factory=ProcessLabel)

    @property
    def nodes(self) -> Iterator[FlowNode]:
        """All parts, in the direction of the flow."""
        yield from self.channels
        yield self.log
        yield from self.subscribers

    @property
    def words(self) -> Sequence[str]:
        """Words of the glossary in the badges."""
        return sorted({badge.word for node in self.nodes for badge in node.badges if badge.word})

    @property
    def troubles(self) -> Sequence[Trouble]:
        """Parts that need attention, the worst first.

        Among equally bad parts, the log comes first, and then parts in a bad state come
        before parts that work and only have a bad badge. All other parts are in the
        direction of the flow.
        """
        found = [(each, node) for node in self.nodes if (each := _trouble(node)) is not None]
        found.sort(
            key=lambda pair: (
                _ORDER.index(pair[0].level),
                pair[0].name != self.log.name,
                pair[1].state.level is not pair[0].level,
            )
        )
        return [trouble for trouble, _ in found]


MAP_JSON = TypeAdapter(FlowMap)
"""Converter between a map and its JSON."""


def level_of(node: FlowNode) -> Level:
    """Return the worst level of a node's state and badges."""
    return worst([node.state.level, *(each.level for each in node.badges)])


def rate(per_second: float | None) -> str:
    """Return a rate in the unit that fits: `1,200/s`, `1.5/s` or `3/min`, or a dash for `None`."""
    if per_second is None:
        return NOTHING
    if per_second == 0 or per_second >= 10:  # noqa: PLR2004 - two digits are enough
        return f"{per_second:,.0f}/s"
    return f"{per_second:.1f}/s" if per_second >= 1 else f"{per_second * _MINUTE_S:.0f}/min"


def _trouble(node: FlowNode) -> Trouble | None:
    level = level_of(node)
    if level not in {Level.BAD, Level.WAITS}:
        return None
    words = [node.state.headline] if node.state.level in {Level.BAD, Level.WAITS} else []
    said = ", ".join([*words, *(each.text for each in node.badges)])
    # A good state with badges is dealt with on the page of the first badge.
    page = node.page if words else node.badges[0].page
    return Trouble(name=node.name, said=said, level=level, page=page)


def _counted(number: int, name: str) -> str:
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"
