"""Parked lanes: their index, their restoration, and the fetch of their events."""
