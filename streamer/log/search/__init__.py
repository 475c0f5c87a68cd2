"""Search for events, the same for all logs: matches, their order, and where it continues."""
