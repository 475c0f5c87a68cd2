"""Look-ups of records for events; batches and a cache reduce the number of requests to the org."""
