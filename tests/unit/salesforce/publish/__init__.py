"""Publishing of platform events."""
