"""The targets that Streamer ships with: each module is a plugin."""
