"""Delivery from the log to the targets: in order for each key, and retried until it is settled."""
