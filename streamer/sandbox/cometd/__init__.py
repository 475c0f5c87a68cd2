"""CometD server of the sandbox's Streaming API, as Salesforce runs it."""

from streamer.sandbox.cometd.limits import CometdLimits
from streamer.sandbox.cometd.server import CometdServer
from streamer.sandbox.cometd.subscription import MessageView
from streamer.sandbox.cometd.subscription_planner import ChannelAccess

__all__ = ["ChannelAccess", "CometdLimits", "CometdServer", "MessageView"]
