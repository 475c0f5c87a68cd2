"""Redrives of dead letters: which ones a later event has superseded."""
