"""Pub/Sub API (gRPC) of the sandbox, as Salesforce serves it; `server` brings gRPC along."""

from streamer.sandbox.pubsub.limits import PubSubLimits

__all__ = ["PubSubLimits"]
