"""Is the daemon alive, and does it make progress?"""
