"""Tests of `streamer.sandbox.tooling`."""
