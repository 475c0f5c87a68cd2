"""Test kit for plugins: a contract to inherit as tests, and a scripted target."""

from streamer.testing.contract import SubscriberContract
from streamer.testing.deliveries import a_delivery, an_event
from streamer.testing.http_contract import HttpSubscriberContract
from streamer.testing.scripted_target import (
    CUT_OFF,
    HANG_UP,
    Echo,
    Raw,
    Received,
    Reply,
    ScriptedTarget,
    Silence,
)
from streamer.testing.trial import ContractBrokenError

__all__ = [
    "CUT_OFF",
    "HANG_UP",
    "ContractBrokenError",
    "Echo",
    "HttpSubscriberContract",
    "Raw",
    "Received",
    "Reply",
    "ScriptedTarget",
    "Silence",
    "SubscriberContract",
    "a_delivery",
    "an_event",
]
