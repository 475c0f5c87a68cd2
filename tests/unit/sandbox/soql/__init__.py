"""Tests of `soql`."""
