"""Parked lanes: found again, changed and fetched."""
