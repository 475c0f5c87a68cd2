"""Context of the console's pages: what the admin API answers, and the state of the process."""

from collections.abc import Callable
from dataclasses import dataclass, field

from streamer.admin import AdminContext
from streamer.admin.audit import AuditResource
from streamer.admin.continuity.holes import ContinuityResource
from streamer.admin.continuity.snapshots import SnapshotResource
from streamer.admin.letters import LetterResource
from streamer.admin.redrives import RedriveResource
from streamer.admin.subscribers import SubscriberResource
from streamer.clock import Clock
from streamer.console.access import Access
from streamer.console.holes import RecentHoles
from streamer.console.rendering import Renderer
from streamer.console.samples import Sampler
from streamer.console.sessions import Sessions
from streamer.settings import AdminSettings, Settings
from streamer.supervision.health import Health
from streamer.supervision.status import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleContext:
    """Parts of a daemon that its pages show.

    `configuration` returns the configuration in effect as YAML, with secrets
    masked. The resources of the admin API make every change, and so its audit
    record too.
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
    letters: LetterResource = field(init=False)
    redrives: RedriveResource = field(init=False)
    continuity: ContinuityResource = field(init=False)
    holes: RecentHoles = field(init=False)
    snapshots: SnapshotResource = field(init=False)
    audit: AuditResource = field(init=False)

    def __post_init__(self) -> None:
        console = self.settings.console
        sessions = Sessions(clock=self.clock, lifetime_s=console.session_s)
        access = Access(token=self.settings.token, settings=console, sessions=sessions)
        continuity = ContinuityResource(context=self.admin)
        made = {
            "renderer": Renderer(clock=self.clock),
            "access": access,
            "subscribers": SubscriberResource(context=self.admin),
            "letters": LetterResource(context=self.admin),
            "redrives": RedriveResource(context=self.admin),
            "continuity": continuity,
            "holes": RecentHoles(resource=continuity, clock=self.clock),
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
