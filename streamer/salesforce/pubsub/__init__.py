"""Pub/Sub API of Salesforce: one connection, one stream per channel, and event schemas."""
