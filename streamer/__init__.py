"""Streamer carries a Salesforce org's events to Kafka and to the systems that act on them."""

DISTRIBUTION = "streamer-salesforce"
"""Name of the package as pip knows it."""
