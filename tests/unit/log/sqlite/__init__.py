"""Tests of `sqlite`."""
