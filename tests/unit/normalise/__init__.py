"""Unit tests of normalise."""
