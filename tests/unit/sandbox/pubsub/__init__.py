"""Tests of parts of the Pub/Sub API."""
