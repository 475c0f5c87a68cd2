"""Channels of the Streaming API that are records: PushTopics and generic channels."""
