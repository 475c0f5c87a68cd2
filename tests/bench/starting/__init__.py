"""The cost of a command before it does anything, and of a daemon that has nothing to do."""
