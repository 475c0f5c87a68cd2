"""Scripted HTTP target, and checks of plugins with this target."""
