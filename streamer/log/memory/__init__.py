"""In-memory twin of the log, for tests and for plugin authors."""

from streamer.log.memory.feed import PAGE_EVENTS, MemoryFaults, MemoryFeed, partition_of
from streamer.log.memory.history import MemoryHistory
from streamer.log.memory.log import MemoryLog

__all__ = ["PAGE_EVENTS", "MemoryFaults", "MemoryFeed", "MemoryHistory", "MemoryLog", "partition_of"]
