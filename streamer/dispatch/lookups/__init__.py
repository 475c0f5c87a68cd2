"""Look-ups of records for events: batched, cached, and sparing of the org's requests."""
