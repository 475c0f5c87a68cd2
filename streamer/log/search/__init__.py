"""Search for events in any log: matching events, their order, and the cursor of the next page."""
