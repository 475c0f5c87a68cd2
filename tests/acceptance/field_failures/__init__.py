"""Failures of streams in the field, each played through the daemon's real parts on a turned clock."""
