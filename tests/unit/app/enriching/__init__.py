"""Tests of `enriching`."""
