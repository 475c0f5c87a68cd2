"""Durations of holds in seconds, for targets that do not ask for a certain duration."""

RECHECK_S = 60.0
"""Time after which a target is tried again, in case an operator has fixed the problem."""

BUSY_S = 10.0
"""Time to wait for a target that is busy or briefly unavailable."""
