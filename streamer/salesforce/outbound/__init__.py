"""Outbound messages: an endpoint that Salesforce calls, and a source that reads it as a channel."""
