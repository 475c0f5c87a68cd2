"""Decoding of events from binary Avro to the payload that CometD would send.

The Pub/Sub API sends each event as one datum in the binary encoding of Avro 1.11,
without a container, and names its schema. This package reads the schema, compiles
it to readers, and gives a datum the form of the Streaming API, so that one
normaliser serves both transports.
"""

from streamer.salesforce.pubsub.avro.definitions import UnusableSchema
from streamer.salesforce.pubsub.avro.schema import EventSchema

__all__ = ["EventSchema", "UnusableSchema"]
