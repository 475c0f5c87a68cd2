"""Calls of the Pub/Sub API: their paths and messages, for clients and servers."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from streamer.eventbus.pubsub_api_pb2 import (
    FetchRequest,
    FetchResponse,
    PublishRequest,
    PublishResponse,
    SchemaInfo,
    SchemaRequest,
    TopicInfo,
    TopicRequest,
)

_Request = TypeVar("_Request", bound=Message)
_Response = TypeVar("_Response", bound=Message)

SERVICE = "eventbus.v1.PubSub"


@dataclass(frozen=True, slots=True)
class Call(Generic[_Request, _Response]):
    """A call of the service, with its request and response messages."""

    name: str
    request: type[_Request]
    response: type[_Response]

    @property
    def path(self) -> str:
        """HTTP/2 path of the call."""
        return f"/{SERVICE}/{self.name}"


SUBSCRIBE = Call("Subscribe", FetchRequest, FetchResponse)
GET_SCHEMA = Call("GetSchema", SchemaRequest, SchemaInfo)
GET_TOPIC = Call("GetTopic", TopicRequest, TopicInfo)
PUBLISH = Call("Publish", PublishRequest, PublishResponse)
PUBLISH_STREAM = Call("PublishStream", PublishRequest, PublishResponse)
