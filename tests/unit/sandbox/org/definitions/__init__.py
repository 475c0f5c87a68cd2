"""Tests of declared schemas."""
