"""Tests of `asyncapi`."""
