"""Parked lanes: restored, changed and fetched."""
