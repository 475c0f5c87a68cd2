"""Local receivers that behave like the APIs of real targets, with their limits and errors."""

from streamer.sandbox.targets.erp import ErpReceiver
from streamer.sandbox.targets.faults import MalformedAnswer, TargetFaults
from streamer.sandbox.targets.fulfillment import FulfillmentReceiver
from streamer.sandbox.targets.journal import Journal, Received
from streamer.sandbox.targets.slack import SlackReceiver

__all__ = [
    "ErpReceiver",
    "FulfillmentReceiver",
    "Journal",
    "MalformedAnswer",
    "Received",
    "SlackReceiver",
    "TargetFaults",
]
