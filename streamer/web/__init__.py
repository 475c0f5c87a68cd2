"""HTTP listeners, for the probes and the admin API."""
