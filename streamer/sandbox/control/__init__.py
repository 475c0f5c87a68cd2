"""The sandbox's control API."""

from streamer.sandbox.control.api import ControlApi

__all__ = ["ControlApi"]
