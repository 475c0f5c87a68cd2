"""Demo: a busy org, the daemon and three targets in one process."""
