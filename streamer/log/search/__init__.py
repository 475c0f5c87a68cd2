"""Search for events, the same for all logs: what matches, in which order, and where it goes on."""
