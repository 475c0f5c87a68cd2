"""Delivery from the log to the targets: in order per key, many keys at once, retried until settled."""
