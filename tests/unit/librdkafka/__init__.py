"""Tests of `streamer.librdkafka`."""
