"""The org itself, in memory: its records, its schema, and the events of their changes."""
