"""Receivers that behave like Slack, an ERP and a fulfilment service, with their errors."""

from streamer.sandbox.targets.erp import ErpReceiver
from streamer.sandbox.targets.faults import MalformedAnswer, TargetFaults
from streamer.sandbox.targets.fulfillment import FulfillmentReceiver
from streamer.sandbox.targets.journal import Journal, JournalEntry
from streamer.sandbox.targets.slack import SlackReceiver
from streamer.sandbox.targets.soap_erp import SoapErpReceiver
from streamer.sandbox.targets.soap_messages import SoapFault

__all__ = [
    "ErpReceiver",
    "FulfillmentReceiver",
    "Journal",
    "JournalEntry",
    "MalformedAnswer",
    "SlackReceiver",
    "SoapErpReceiver",
    "SoapFault",
    "TargetFaults",
]
