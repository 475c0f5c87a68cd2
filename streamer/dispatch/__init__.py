"""From the log to the targets: in order per key, many keys at once, tried until settled."""
