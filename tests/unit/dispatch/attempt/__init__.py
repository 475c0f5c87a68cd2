"""Tests of `attempt`."""
