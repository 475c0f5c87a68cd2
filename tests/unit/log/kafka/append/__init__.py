"""Tests of `append`."""
