"""Context of the console's pages: the admin API's resources, and the process's state."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from streamer.admin import AdminContext
from streamer.admin.checkpoints import CheckpointResource
from streamer.admin.continuity import ContinuityResource, SnapshotResource
from streamer.admin.dead_letters import LetterResource
from streamer.admin.events.resource import EventResource
from streamer.admin.parked import ParkedResource
from streamer.admin.problems.groups import OpenProblem
from streamer.admin.problems.resource import ProblemResource
from streamer.admin.recent_records import RecentRecords
from streamer.admin.redrives import RedriveResource
from streamer.admin.server import AuditResource, gate_of
from streamer.admin.subscribers import SubscriberResource
from streamer.clock import Clock
from streamer.console.access import Access, ConsoleSessions
from streamer.console.rendering import Renderer
from streamer.console.samples import Sampler, Samples
from streamer.events import JsonObject
from streamer.flow.labels import OrgLabel
from streamer.flow.report import FlowReport
from streamer.settings import AdminSettings, Settings
from streamer.supervision.health import Health
from streamer.supervision.status import Status

# Finding the problems reads all dead letters.
_PROBLEMS_EVERY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleContext:
    """Parts of a daemon that the console shows.

    `configuration` returns the current configuration as YAML, with masked secrets.
    """

    admin: AdminContext
    settings: AdminSettings
    health: Health
    status: Status
    flow: FlowReport
    sampler: Sampler
    configuration: Callable[[], str]

    @property
    def clock(self) -> Clock:
        """Clock of the daemon."""
        return self.admin.clock

    @property
    def configured(self) -> Settings:
        """Current settings."""
        return self.admin.daemon.plan.settings

    async def samples(self) -> Sequence[Samples]:
        """Return the samples of the last hour of this process, and then of each other process."""
        await self.admin.reports.refresh()
        found = await self.admin.reports.samples()
        return [self.sampler.samples(), *map(Samples.of_records, found.values())]

    @property
    def org(self) -> OrgLabel:
        """Label of the org."""
        return self.flow.org

    @property
    def org_url(self) -> str:
        """Address of the org."""
        return self.flow.org_url


@dataclass(frozen=True, slots=True, kw_only=True)
class PageResources:
    """Resources of the admin API.

    Each change in the console is made by one of these resources, which also writes the
    audit record.
    """

    subscribers: SubscriberResource
    events: EventResource
    letters: LetterResource
    redrives: RedriveResource
    continuity: ContinuityResource
    checkpoints: CheckpointResource
    snapshots: SnapshotResource
    audit: AuditResource
    problems: ProblemResource
    parked: ParkedResource

    @classmethod
    def of(cls, admin: AdminContext) -> Self:
        """Return the resources of one daemon."""
        return cls(
            subscribers=SubscriberResource(context=admin),
            events=EventResource(context=admin),
            letters=LetterResource(context=admin),
            redrives=RedriveResource(context=admin),
            continuity=ContinuityResource(context=admin),
            parked=ParkedResource(context=admin),
            checkpoints=CheckpointResource(context=admin),
            snapshots=SnapshotResource(context=admin),
            audit=AuditResource(context=admin),
            problems=ProblemResource(context=admin),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentLists:
    """Lists that several pages show.

    `holes` are the continuity records that are not about snapshots, the oldest first.
    `problems` are the problems that only the log knows.
    """

    holes: RecentRecords[Sequence[JsonObject]]
    positions: RecentRecords[Sequence[JsonObject]]
    problems: RecentRecords[Sequence[OpenProblem]]

    @classmethod
    def of(cls, flow: FlowReport, resources: PageResources, clock: Clock) -> Self:
        """Return the lists of the map, and further lists that are read through `resources`."""
        return cls(
            holes=flow.holes,
            positions=RecentRecords(name="checkpoints", read=resources.checkpoints.positions, clock=clock),
            problems=RecentRecords(
                name="problems", read=resources.problems.in_log, clock=clock, every_s=_PROBLEMS_EVERY_S
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContext:
    """Daemon that the pages show, with shared resources and lists."""

    daemon: ConsoleContext
    renderer: Renderer
    access: Access
    resources: PageResources
    recent: RecentLists

    @classmethod
    def of(cls, daemon: ConsoleContext) -> Self:
        """Return the context of one daemon's pages."""
        settings, clock = daemon.settings, daemon.clock
        sessions = ConsoleSessions(clock=clock, lifetime_s=settings.console.session_s)
        resources = PageResources.of(daemon.admin)
        return cls(
            daemon=daemon,
            renderer=Renderer(
                clock=clock,
                org=lambda: daemon.org,
                org_url=lambda: daemon.org_url,
                process=lambda: daemon.flow.process,
            ),
            access=Access(gate=gate_of(daemon.admin, settings), settings=settings.console, sessions=sessions),
            resources=resources,
            recent=RecentLists.of(daemon.flow, resources, clock),
        )
