"""The cost of starting a command, and of an idle daemon."""
