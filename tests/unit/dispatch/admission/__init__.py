"""Tests of `admission`."""
