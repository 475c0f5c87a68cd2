"""Tests of the Salesforce plugin."""
