"""Lengths of holds of a target that names none itself, in seconds."""

RECHECK_S = 60.0
"""Time after which a target is tried again, in case its complaint was resolved."""

BUSY_S = 10.0
"""Time for which a target that is busy or away for a moment is left alone."""
