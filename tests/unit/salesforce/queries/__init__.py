"""Tests of reading records in volume."""
