"""The org in memory, without a server."""
