"""Events for operators: search, the story of one event, and new events as they come."""
