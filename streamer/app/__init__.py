"""The composition root: the only place that knows concrete classes."""

from streamer.app.daemon import App, Role
from streamer.app.plan import Plan, plan

__all__ = ["App", "Plan", "Role", "plan"]
