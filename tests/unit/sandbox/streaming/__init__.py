"""PushTopics and generic channels of the org."""
