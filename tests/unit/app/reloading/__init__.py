"""Reloads of the configuration."""
