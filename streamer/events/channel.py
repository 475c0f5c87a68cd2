"""Channel: one subscription path of one org."""

from dataclasses import dataclass

from streamer.channel_paths import ChannelKind
from streamer.events.ids import OrgId


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One subscription path of one org, such as `/data/ChangeEvents`."""

    org: OrgId
    path: str

    @property
    def retention_s(self) -> float:
        """Time for which Salesforce retains the events of this channel, in seconds."""
        return ChannelKind.of(self.path).retention_s

    def expires_at(self, verified_at: float) -> float:
        """Return when Salesforce can forget what follows `verified_at`, both in epoch seconds."""
        return verified_at + self.retention_s

    def __str__(self) -> str:
        """Return `org/path`, the key of this channel in the log."""
        return f"{self.org}{self.path}"
