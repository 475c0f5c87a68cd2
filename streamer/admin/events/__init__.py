"""Events for operators: a search, the story of one event, and a live tail of new events."""
