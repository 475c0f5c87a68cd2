"""Tests of writing into an org."""
