"""The cost of starting a command."""
