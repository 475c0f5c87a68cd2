"""Tests of `xml`."""
