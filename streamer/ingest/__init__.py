"""Ingest from Salesforce into the log: the core loop of a channel, and the supervisor that restarts it."""
