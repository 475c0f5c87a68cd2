"""Report of the flow: gathers the map from this process, from the others' reports and from the log."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self, TypeVar

from prometheus_client import CollectorRegistry

from streamer.admin import AdminContext
from streamer.admin.dead_letters import LetterResource
from streamer.admin.json_views import continuity_json
from streamer.admin.parked import ParkedResource
from streamer.admin.problems.findings import lasting_holes
from streamer.admin.problems.resource import ProblemResource
from streamer.admin.processes.state import MOST_PARKED, ProcessState, ReportedKey
from streamer.admin.recent_records import RecentRecords
from streamer.admin.schemas import MOST_LETTERS, Listing, Parked
from streamer.admin.subscribers import SubscriberResource
from streamer.controls import ContinuityFilter, ControlState
from streamer.errors import LogUnavailable
from streamer.events import HoleCause, JsonObject, Repair
from streamer.flow.flow_map import MAP_JSON, ChannelNode, FlowMap, Level, LogNode, NodeState, SubscriberNode
from streamer.flow.labels import OrgLabel, ProcessLabel
from streamer.flow.rates import FlowRates, FlowRateSampler
from streamer.flow.states import (
    ChannelRow,
    channel_rows,
    log_state,
    reported_channel,
    row_of,
    state_of,
)
from streamer.settings import Settings
from streamer.supervision.status import Status

_SHOWN_LETTERS = 5
# Counting the dead letters reads all of them, so it happens less often.
_LETTERS_EVERY_S = 60.0
_UNKNOWN = NodeState(word="unknown", level=Level.QUIET)

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowFacts:
    """Map of the flow, with the lists from the log that it was made from.

    `holes` are the continuity records that are not about snapshots, the oldest first.
    `is_lasting` marks recent holes that no repair fills. `letters` are the latest dead
    letters, the newest first.
    """

    map: FlowMap
    holes: Sequence[JsonObject] = ()
    letters: Sequence[JsonObject] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowReport:
    """Gathers the map, from the daemon's `status`, the API's resources, and the other processes' reports.

    The log is read for continuity records at most every 30 s, and for dead letters once
    a minute, however many pages and commands ask.
    """

    admin: AdminContext
    status: Status
    sampler: FlowRateSampler
    holes: RecentRecords[Sequence[JsonObject]]
    letters: RecentRecords[JsonObject]

    @classmethod
    def of(cls, admin: AdminContext, status: Status, registry: CollectorRegistry) -> Self:
        """Return the report of one daemon."""
        clock = admin.clock
        return cls(
            admin=admin,
            status=status,
            sampler=FlowRateSampler(registry=registry, clock=clock),
            holes=RecentRecords(
                name="continuity records",
                read=partial(_holes, admin),
                clock=clock,
            ),
            letters=RecentRecords(
                name="dead letters",
                read=partial(LetterResource(context=admin).letters, Listing(last=_SHOWN_LETTERS)),
                clock=clock,
                every_s=_LETTERS_EVERY_S,
            ),
        )

    @property
    def org(self) -> OrgLabel:
        """Label of the org."""
        return OrgLabel.of(self.org_url)

    @property
    def process(self) -> ProcessLabel:
        """Label of the processes in the map, as their reports were last read."""
        return ProcessLabel.of(self._settings, self.admin.reports)

    @property
    def org_url(self) -> str:
        """The org's own address once this process has logged in; before, the address of its login."""
        return self.status.reading.instance_url or self._settings.org.login_url

    async def as_json(self) -> JsonObject:
        """Return the map as JSON."""
        found: JsonObject = MAP_JSON.dump_python((await self.facts()).map, mode="json")
        return found

    async def facts(self) -> FlowFacts:
        """Return the map. If the log does not answer in time, numbers are missing, and the map says why."""
        problems: list[str] = []
        listed, holes, letters = await asyncio.gather(
            _tried(self._listed, problems),
            _tried(self.holes.records, problems),
            _tried(self.letters.records, problems),
        )
        problem = next(iter(problems), "")
        counts: Mapping[str, int] = letters["by_subscriber"] if letters else {}
        rates = self.sampler.rates()
        found = FlowMap(
            org=self.org,
            at=self.admin.clock.now(),
            channels=self._channels(rates, holes or ()),
            log=self._log(problem, counts.get("", 0)),
            subscribers=self._subscriber_nodes(rates, listed, counts),
            problem=problem,
            process=self.process,
        )
        latest = letters["letters"][::-1] if letters else ()
        return FlowFacts(map=found, holes=holes or (), letters=latest)

    async def own_state(self, counts: Mapping[str, float], former: ProcessState | None) -> ProcessState:
        """Return the state of this process alone, for the others. Raises `LogUnavailable`.

        The lists come from the `former` state, if there is one.
        """
        board, rates = await self.admin.control_state(), self.sampler.rates()
        subscribers = SubscriberResource(context=self.admin).reported(board)
        changes = {
            "counts": counts,
            "channels": {
                row.path: reported_channel(row, rates.events_of(row.path))
                for row in self._own_rows()
                if row.is_owned
            },
            "subscribers": {
                name: each.model_copy(update={"per_second": rates.deliveries_to(name)})
                for name, each in subscribers.items()
            },
        }
        return (former or self._lists(board)).model_copy(update=changes)

    def _lists(self, board: ControlState) -> ProcessState:
        """Return a state that has only the lists of parked keys and problems."""
        parked, keys = ParkedResource(context=self.admin).here(Parked(first=MOST_PARKED))
        return ProcessState(
            parked_keys=parked,
            parked=[ReportedKey.model_validate(each) for each in keys],
            problems=ProblemResource(context=self.admin).reported(board),
        )

    @property
    def _settings(self) -> Settings:
        return self.admin.daemon.plan.settings

    async def _listed(self) -> Sequence[JsonObject]:
        found: Sequence[JsonObject] = (await SubscriberResource(context=self.admin).subscribers())[
            "subscribers"
        ]
        return found

    def _channels(self, rates: FlowRates, holes: Sequence[JsonObject]) -> list[ChannelNode]:
        now = self.admin.clock.now()
        opened = Counter(each["channel"] for each in holes if each["state"] == Repair.OPEN)
        lasting = Counter(each["channel"] for each in holes if each["is_lasting"])
        elsewhere = self._rows_elsewhere()
        return [
            _channel(
                row,
                rates.events_of(row.path) if row.is_owned else elsewhere.get(row.path, (row, None))[1],
                now,
                open_holes=opened[row.path],
                lasting_holes=lasting[row.path],
            )
            for row in self.channel_rows()
        ]

    def channel_rows(self) -> list[ChannelRow]:
        """Return a row for each channel, as its owner knows it, and as other processes were last read."""
        elsewhere = self._rows_elsewhere()
        return [row if row.is_owned else elsewhere.get(row.path, (row, None))[0] for row in self._own_rows()]

    def _rows_elsewhere(self) -> Mapping[str, tuple[ChannelRow, float | None]]:
        """Return the row and the rate of each channel of another process.

        While a channel moves, two processes report it. The one that verified it last is
        its owner.
        """
        found = [
            (row_of(path, each, owner), each.per_second)
            for owner, state in self.admin.reports.answering
            for path, each in state.channels.items()
        ]
        return {row.path: (row, rate) for row, rate in sorted(found, key=_verified_at)}

    def _own_rows(self) -> Sequence[ChannelRow]:
        return channel_rows(self.status.reading, self._settings.paths, self.admin.clock.now())

    def _log(self, problem: str, unreadable: int) -> LogNode:
        kind = "Kafka" if self._settings.log.kafka else "SQLite"
        return LogNode(kind=kind, state=log_state(self.status.log, problem), unreadable=unreadable)

    def _subscriber_nodes(
        self, rates: FlowRates, listed: Sequence[JsonObject] | None, letters: Mapping[str, int]
    ) -> list[SubscriberNode]:
        if listed is None:
            settings = self._settings.subscribers
            return [
                SubscriberNode(name=name, uses=each.uses, after=tuple(each.after), state=_UNKNOWN)
                for name, each in settings.items()
            ]
        blocked, now = self.admin.blocked_plugins, self.admin.clock.now()
        return [
            _subscriber(
                each, state_of(each, now, blocked.get(each["name"], "")), self._rate(each, rates), letters
            )
            for each in listed
        ]

    def _rate(self, listed: Mapping[str, Any], rates: FlowRates) -> float | None:
        """Return the deliveries per second to a subscriber, by all processes whose rates are known."""
        name = listed["name"]
        shares = [state.subscribers.get(name) for _, state in self.admin.reports.answering]
        found = [each.per_second for each in shares if each]
        if listed["here"] is not None:
            found.append(rates.deliveries_to(name))
        known = [each for each in found if each is not None]
        return sum(known) if known else None


def _verified_at(found: tuple[ChannelRow, float | None]) -> float:
    return found[0].verified_at or 0.0


def _channel(
    row: ChannelRow, per_second: float | None, now: float, *, open_holes: int, lasting_holes: int
) -> ChannelNode:
    # Until this moment, Streamer knew that the channel worked.
    since = row.verified_at if row.level is Level.BAD else None
    return ChannelNode(
        path=row.path,
        state=NodeState(
            word=row.word,
            level=row.level,
            reason=row.reason,
            since=since,
            lasts_s=0.0 if since is None else max(0.0, now - since),
        ),
        per_second=per_second,
        expires_in_s=row.expires_at - now if row.expires_soon and row.expires_at is not None else None,
        open_holes=open_holes,
        lasting_holes=lasting_holes,
    )


def _subscriber(
    listed: Mapping[str, Any], state: NodeState, per_second: float | None, letters: Mapping[str, int]
) -> SubscriberNode:
    name, total = listed["name"], listed["total"]
    unknown = SubscriberNode(
        name=name,
        uses=listed["uses"],
        state=state,
        after=tuple(listed["after"]),
        dead_letters=letters.get(name, 0),
    )
    if total is None:
        return unknown
    return replace(
        unknown,
        per_second=per_second,
        lag=total["lag"],
        oldest_s=total["oldest_waits_s"],
        parked=total["parked"],
        has_open_circuit=total["breaker"] == "open",
    )


async def _tried(read: Callable[[], Awaitable[Found]], problems: list[str]) -> Found | None:
    """Return the result of `read`, or `None` with the reason in `problems` if the log is unavailable."""
    try:
        return await read()
    except LogUnavailable as error:
        problems.append(str(error))
        return None


async def _holes(admin: AdminContext) -> Sequence[JsonObject]:
    records = await admin.log.controls.continuity(ContinuityFilter(), last=MOST_LETTERS)
    lasting = {each.id for each in lasting_holes(records, admin.clock.now())}
    return [
        {**continuity_json(each), "is_lasting": each.id in lasting}
        for each in records
        if each.cause is not HoleCause.SNAPSHOT
    ]
