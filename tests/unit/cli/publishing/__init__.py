"""The command `streamer publish`."""
