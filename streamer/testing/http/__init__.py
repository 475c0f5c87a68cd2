"""Scripted HTTP target, and checks of the plugins that face it."""
