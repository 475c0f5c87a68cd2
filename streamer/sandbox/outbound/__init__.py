"""Outbound messages: SOAP notifications that the org sends when records change."""

from streamer.sandbox.outbound.limits import OutboundLimits
from streamer.sandbox.outbound.message import OutboundMessage

__all__ = ["OutboundLimits", "OutboundMessage"]
