"""Context of the console's pages: what the admin API answers, and the state of the process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from streamer.admin import AdminContext
from streamer.admin.audit import AuditResource
from streamer.admin.checkpoints import CheckpointResource
from streamer.admin.continuity.holes import ContinuityResource
from streamer.admin.continuity.snapshots import SnapshotResource
from streamer.admin.events.resource import EventResource
from streamer.admin.letters import LetterResource, RedriveResource
from streamer.admin.schemas import MOST_LETTERS, Holes, Listing
from streamer.admin.server import gate_of
from streamer.admin.subscribers import SubscriberResource
from streamer.clock import Clock
from streamer.console.access import Access
from streamer.console.recent import RecentRecords
from streamer.console.rendering import Renderer
from streamer.console.samples import Sampler
from streamer.console.sessions import ConsoleSessions
from streamer.events import HoleCause, JsonObject
from streamer.settings import AdminSettings, Settings
from streamer.supervision.health import Health
from streamer.supervision.status import Status

_SHOWN_FAILURES = 5
# All dead letters are read for the latest ones.
_FAILURES_EVERY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleContext:
    """Parts of a daemon that its pages show.

    `configuration` returns the configuration in effect as YAML, with secrets
    masked. The resources of the admin API make every change, and so its audit
    record too. `holes` leave those of snapshots out, the oldest first;
    `failures` are the latest dead letters, the newest first.
    """

    admin: AdminContext
    settings: AdminSettings
    health: Health
    status: Status
    sampler: Sampler
    configuration: Callable[[], str]
    renderer: Renderer = field(init=False)
    access: Access = field(init=False)
    subscribers: SubscriberResource = field(init=False)
    events: EventResource = field(init=False)
    letters: LetterResource = field(init=False)
    failures: RecentRecords = field(init=False)
    redrives: RedriveResource = field(init=False)
    continuity: ContinuityResource = field(init=False)
    holes: RecentRecords = field(init=False)
    checkpoints: CheckpointResource = field(init=False)
    positions: RecentRecords = field(init=False)
    snapshots: SnapshotResource = field(init=False)
    audit: AuditResource = field(init=False)

    def __post_init__(self) -> None:
        console = self.settings.console
        sessions = ConsoleSessions(clock=self.clock, lifetime_s=console.session_s)
        access = Access(gate=gate_of(self.admin, self.settings), settings=console, sessions=sessions)
        checkpoints = CheckpointResource(context=self.admin)
        made = {
            "renderer": Renderer(clock=self.clock),
            "access": access,
            "subscribers": SubscriberResource(context=self.admin),
            "events": EventResource(context=self.admin),
            "letters": LetterResource(context=self.admin),
            "failures": RecentRecords(
                name="dead letters", read=self._failures, clock=self.clock, every_s=_FAILURES_EVERY_S
            ),
            "redrives": RedriveResource(context=self.admin),
            "continuity": ContinuityResource(context=self.admin),
            "holes": RecentRecords(name="continuity records", read=self._holes, clock=self.clock),
            "checkpoints": checkpoints,
            "positions": RecentRecords(name="checkpoints", read=checkpoints.positions, clock=self.clock),
            "snapshots": SnapshotResource(context=self.admin),
            "audit": AuditResource(context=self.admin),
        }
        for name, value in made.items():
            object.__setattr__(self, name, value)

    @property
    def clock(self) -> Clock:
        """Time of the daemon."""
        return self.admin.clock

    @property
    def configured(self) -> Settings:
        """Settings in effect."""
        return self.admin.daemon.plan.settings

    async def _holes(self) -> Sequence[JsonObject]:
        records = (await self.continuity.records(Holes(last=MOST_LETTERS)))["records"]
        return [each for each in records if each["cause"] != HoleCause.SNAPSHOT]

    async def _failures(self) -> Sequence[JsonObject]:
        letters: list[JsonObject] = (await self.letters.letters(Listing(last=_SHOWN_FAILURES)))["letters"]
        return letters[::-1]
