"""Tests of `streamer.salesforce.tooling`."""
