"""Composition root: the only package that knows concrete classes."""

from streamer.app.daemon import App, Role
from streamer.app.plan import Plan, plan

__all__ = ["App", "Plan", "Role", "plan"]
