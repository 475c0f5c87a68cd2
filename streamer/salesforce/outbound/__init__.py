"""Outbound messages: an endpoint for what Salesforce sends by itself, read as a channel."""
