"""The command `streamer demo`: its options, its display and the browser beside it."""
