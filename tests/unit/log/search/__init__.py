"""Searches are merged, bounded and continued, whatever the log."""
