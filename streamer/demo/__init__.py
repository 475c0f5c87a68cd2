"""A whole world on one machine: an org in which things happen, the daemon, three targets."""
