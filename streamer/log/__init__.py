"""The durable log: one port, three adapters, and one contract that all three keep."""
