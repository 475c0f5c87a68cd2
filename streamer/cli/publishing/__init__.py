"""The command `streamer publish`: from lines of JSON to platform events."""
