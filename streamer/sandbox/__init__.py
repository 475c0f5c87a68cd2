"""A Salesforce org that runs on this machine, for tests, demos and continuous integration."""

from streamer.sandbox.access.user import User
from streamer.sandbox.apex import ApexAnswer, ApexCall, ApexException
from streamer.sandbox.auth.connected_app import ConnectedApp
from streamer.sandbox.org.channels import OrgChannel
from streamer.sandbox.org.definitions import DeclaredSchema, parse_schema, read_schema
from streamer.sandbox.org.org import OrgSetup
from streamer.sandbox.outbound import OutboundLimits, OutboundMessage
from streamer.sandbox.pubsub import PubSubLimits
from streamer.sandbox.rest.bulk import BulkLimits
from streamer.sandbox.rest.replication import ReplicationLimits
from streamer.sandbox.server import Sandbox, SandboxSettings
from streamer.sandbox.usage import UsageLimits

__all__ = [
    "ApexAnswer",
    "ApexCall",
    "ApexException",
    "BulkLimits",
    "ConnectedApp",
    "DeclaredSchema",
    "OrgChannel",
    "OrgSetup",
    "OutboundLimits",
    "OutboundMessage",
    "PubSubLimits",
    "ReplicationLimits",
    "Sandbox",
    "SandboxSettings",
    "UsageLimits",
    "User",
    "parse_schema",
    "read_schema",
]
