"""Unit tests of protection."""
