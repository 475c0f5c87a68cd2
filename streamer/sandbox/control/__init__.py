"""Control API of the sandbox, for tests and demos."""

from streamer.sandbox.control.api import ControlApi, Controlled

__all__ = ["ControlApi", "Controlled"]
