"""Decoding of events from binary Avro to the payload that CometD carries.

The Pub/Sub API sends each event as one datum in the binary encoding of
Avro 1.11, without a container, and names the schema that it was written with.
This package reads the schema, compiles it to readers, and gives a datum the
shape of the Streaming API, so that one normaliser serves both transports.
"""

from streamer.salesforce.pubsub.avro.definitions import UnusableSchema
from streamer.salesforce.pubsub.avro.schema import EventSchema

__all__ = ["EventSchema", "UnusableSchema"]
