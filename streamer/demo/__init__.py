"""Demo: a busy org, the daemon and its targets in one process."""
