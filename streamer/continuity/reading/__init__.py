"""Parts of a reading: its steps, what changes while it goes on, and what the org can tell when."""
