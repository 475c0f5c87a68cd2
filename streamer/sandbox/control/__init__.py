"""The sandbox's control API."""

from streamer.sandbox.control.api import ControlApi, Controlled

__all__ = ["ControlApi", "Controlled"]
