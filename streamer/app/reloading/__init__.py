"""Reading of the configuration again, while the daemon runs."""
