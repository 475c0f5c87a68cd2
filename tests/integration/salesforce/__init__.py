"""Tests of `salesforce`."""
