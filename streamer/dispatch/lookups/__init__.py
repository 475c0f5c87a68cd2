"""Look-ups of records for events, with batches and a cache, which save requests of the org."""
