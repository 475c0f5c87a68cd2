"""Plugins that ship with Streamer, and code that plugins share."""
