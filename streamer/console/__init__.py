"""Web console, by which operators look at a daemon and act on it in a browser."""

from streamer.console.application import console_application
from streamer.console.context import ConsoleContext
from streamer.console.samples import Sampler

__all__ = ["ConsoleContext", "Sampler", "console_application"]
