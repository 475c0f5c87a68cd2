"""The log's in-memory twin, for tests and for whoever writes a plugin."""

from streamer.log.memory.feed import PAGE_EVENTS, MemoryFeed, partition_of
from streamer.log.memory.log import MemoryLog

__all__ = ["PAGE_EVENTS", "MemoryFeed", "MemoryLog", "partition_of"]
