"""Report of the flow: gathers the map of this process from the daemon's parts and from the log."""

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
from streamer.admin.problems.findings import lasting_holes
from streamer.admin.schemas import MOST_LETTERS, Listing
from streamer.admin.subscribers import SubscriberResource
from streamer.controls import ContinuityFilter
from streamer.errors import LogUnavailable
from streamer.events import HoleCause, JsonObject, Repair
from streamer.flow.flow_map import MAP_JSON, ChannelNode, FlowMap, Level, LogNode, NodeState, SubscriberNode
from streamer.flow.org_label import OrgLabel
from streamer.flow.process_label import ProcessLabel
from streamer.flow.rates import FlowRates, FlowRateSampler
from streamer.flow.recent_records import RecentRecords
from streamer.flow.states import ChannelRow, channel_rows, log_state, state_of
from streamer.settings import Settings
from streamer.supervision.status import Status

_SHOWN_LETTERS = 5
# Counting the dead letters reads all of them, so it happens less often.
_LETTERS_EVERY_S = 60.0
_UNKNOWN = NodeState(word="unknown", level=Level.QUIET)

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowFacts:
    """Map of this process, with the lists from the log that it was made from.

    `holes` are the continuity records that are not about snapshots, the oldest first.
    `is_lasting` marks recent holes that no repair fills. `letters` are the latest dead
    letters, the newest first.
    """

    map: FlowMap
    holes: Sequence[JsonObject] = ()
    letters: Sequence[JsonObject] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowReport:
    """Gathers the map of this process, from the daemon's `status` and through the API's resources.

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
        """Label of this process."""
        return ProcessLabel.of(self._settings)

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
        return [
            _channel(row, rates, now, open_holes=opened[row.path], lasting_holes=lasting[row.path])
            for row in channel_rows(self.status.reading, self._settings.paths, now)
        ]

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
        blocked, now = self.admin.views.condition().blocked_plugins, self.admin.clock.now()
        return [
            _subscriber(each, state_of(each, now, blocked.get(each["name"], "")), rates, letters)
            for each in listed
        ]


def _channel(
    row: ChannelRow, rates: FlowRates, now: float, *, open_holes: int, lasting_holes: int
) -> ChannelNode:
    is_read = rates.is_known and row.owner == "this process"
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
        per_second=rates.events.get(row.path, 0.0) if is_read else None,
        expires_in_s=row.expires_at - now if row.expires_soon and row.expires_at is not None else None,
        open_holes=open_holes,
        lasting_holes=lasting_holes,
    )


def _subscriber(
    listed: Mapping[str, Any], state: NodeState, rates: FlowRates, letters: Mapping[str, int]
) -> SubscriberNode:
    name, here = listed["name"], listed["here"]
    unknown = SubscriberNode(
        name=name,
        uses=listed["uses"],
        state=state,
        after=tuple(listed["after"]),
        dead_letters=letters.get(name, 0),
    )
    if here is None:
        return unknown
    return replace(
        unknown,
        per_second=rates.deliveries.get(name, 0.0) if rates.is_known else None,
        lag=here["lag"],
        oldest_s=here["oldest_waits_s"],
        parked=here["parked"],
        has_open_circuit=here["breaker"] == "open",
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
