"""Reading without a group, for operators: searches, new events, and subscribers' records."""
