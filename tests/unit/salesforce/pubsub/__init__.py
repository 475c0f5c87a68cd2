"""Tests of the Pub/Sub API's client."""
