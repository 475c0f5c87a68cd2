"""Rows of each table: how they are written and read."""
