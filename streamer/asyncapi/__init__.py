"""AsyncAPI 3.0 document of Streamer's Kafka topics: names, keys, headers and schemas."""

from streamer.asyncapi.document import asyncapi_document
from streamer.asyncapi.interface import Interface

__all__ = ["Interface", "asyncapi_document"]
