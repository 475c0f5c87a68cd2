"""The tests of Streamer."""
