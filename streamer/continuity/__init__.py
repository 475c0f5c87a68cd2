"""Repair of holes: what Salesforce has not told is read from the org."""

from streamer.continuity.channel_repairs import ChannelRepairs
from streamer.continuity.gaps import GapRepair

__all__ = ["ChannelRepairs", "GapRepair"]
