"""Formats of the records of each topic: their keys, headers and values."""
