"""Resource of the channels' positions: shows them, tells what another one means, and orders it."""

from streamer.admin.checkpoints.resource import CheckpointResource

__all__ = ["CheckpointResource"]
