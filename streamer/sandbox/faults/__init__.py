"""Faults that can be injected, and those that wait for their moment."""
