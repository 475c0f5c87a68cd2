"""Tests of `streamer.sandbox.rest`."""
