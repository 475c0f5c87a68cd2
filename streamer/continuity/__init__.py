"""Repair of holes: what Salesforce has not told is read from the org."""

from streamer.continuity.gaps import GapRepair

__all__ = ["GapRepair"]
