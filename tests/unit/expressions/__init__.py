"""Tests of `expressions`."""
