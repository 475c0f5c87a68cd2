"""Tests of the parts in which processes go away."""
