"""Streaming API of Salesforce: Bayeux sessions, subscriptions and messages."""
