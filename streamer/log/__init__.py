"""Log: one port with three adapters, held to one contract."""
