"""Tests of `progress`."""
