"""The Streaming API: Bayeux sessions, subscriptions and the messages they bring."""
