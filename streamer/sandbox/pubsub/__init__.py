"""Pub/Sub API (gRPC) of the sandbox, as Salesforce serves it.

Only `server` imports gRPC.
"""

from streamer.sandbox.pubsub.limits import PubSubLimits

__all__ = ["PubSubLimits"]
