"""Messages and calls of Salesforce's Pub/Sub API (gRPC package `eventbus.v1`).

`pubsub_api.proto` is the source; `make stubs` writes the Python modules from it.
"""

from streamer.eventbus.pubsub_api_pb2 import (
    ConsumerEvent,
    Error,
    ErrorCode,
    FetchRequest,
    FetchResponse,
    ProducerEvent,
    PublishRequest,
    PublishResponse,
    PublishResult,
    ReplayPreset,
    SchemaInfo,
    SchemaRequest,
    TopicInfo,
    TopicRequest,
)

__all__ = [
    "ConsumerEvent",
    "Error",
    "ErrorCode",
    "FetchRequest",
    "FetchResponse",
    "ProducerEvent",
    "PublishRequest",
    "PublishResponse",
    "PublishResult",
    "ReplayPreset",
    "SchemaInfo",
    "SchemaRequest",
    "TopicInfo",
    "TopicRequest",
]
