"""The fault bench: daemons on real parts, everything that can happen to them, and the five promises."""
