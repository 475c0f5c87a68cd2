"""The records of every topic: their keys, headers and values."""
