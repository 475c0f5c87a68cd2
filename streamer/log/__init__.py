"""The log: three adapters of one port, held to one contract."""
