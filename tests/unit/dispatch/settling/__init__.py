"""Tests of `settling`."""
