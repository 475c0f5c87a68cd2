"""Plugins that ship with Streamer, and what plugins share."""
