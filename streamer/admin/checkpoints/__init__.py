"""Resource of the channels' positions: shows them, previews a change, and orders it."""

from streamer.admin.checkpoints.resource import CheckpointResource

__all__ = ["CheckpointResource"]
