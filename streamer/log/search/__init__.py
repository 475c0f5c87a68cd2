"""Search for events in any log: finds and orders events, and returns a cursor for the next page."""
