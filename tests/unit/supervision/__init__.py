"""Tests of `supervision`."""
