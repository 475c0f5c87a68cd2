"""Outbound messages: an endpoint that Salesforce calls, read as a channel."""
