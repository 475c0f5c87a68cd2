"""Ingest from Salesforce into the log: the core loop of a channel, and its supervisor."""
