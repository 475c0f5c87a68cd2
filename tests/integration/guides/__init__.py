"""Tests of `guides`."""
