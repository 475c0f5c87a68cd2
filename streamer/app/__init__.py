"""Composition root: the only package that knows concrete classes."""

from streamer.app.daemon import App, Role
from streamer.app.plan import Plan, effective, plan

__all__ = ["App", "Plan", "Role", "effective", "plan"]
