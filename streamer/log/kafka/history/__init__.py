"""Reading without a group: searches, the newest events, and what subscribers have recorded."""
