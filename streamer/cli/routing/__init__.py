"""Commands that try subscribers' routes on events from files."""
