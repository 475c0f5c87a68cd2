"""Tests of `lookups`."""
