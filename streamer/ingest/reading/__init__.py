"""Reading of a channel's messages into the events and dead letters that the log stores."""

from streamer.ingest.reading.message_reader import MessageReader

__all__ = ["MessageReader"]
