"""Tests of the measurements of takeovers."""
