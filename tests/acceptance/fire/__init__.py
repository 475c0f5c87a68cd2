"""The fault bench: daemons with real servers, faults of every kind, and the five promises."""
