"""Web console: operators inspect and control a daemon in a browser."""

from streamer.console.application import console_application
from streamer.console.context import ConsoleContext
from streamer.console.samples import Sampler

__all__ = ["ConsoleContext", "Sampler", "console_application"]
