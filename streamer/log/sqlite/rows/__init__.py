"""The rows of every table: how each kind is written and read."""
