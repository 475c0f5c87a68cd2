"""The Streaming API's side of the sandbox: a CometD server as Salesforce runs it."""

from streamer.sandbox.cometd.limits import CometdLimits
from streamer.sandbox.cometd.server import CometdServer

__all__ = ["CometdLimits", "CometdServer"]
