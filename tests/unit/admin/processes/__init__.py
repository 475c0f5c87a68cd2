"""Tests of the reports of several processes."""
