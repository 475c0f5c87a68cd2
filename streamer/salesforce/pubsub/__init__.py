"""Pub/Sub API of Salesforce: one connection, a stream for each channel, and schemas of events."""
