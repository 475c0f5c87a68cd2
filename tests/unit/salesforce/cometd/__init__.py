"""Tests of `cometd`."""
