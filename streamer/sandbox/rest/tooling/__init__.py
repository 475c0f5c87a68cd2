"""Tooling objects of the sandbox: custom channels, their members and enriched fields."""
