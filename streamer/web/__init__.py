"""HTTP listeners, shared by the probes, the admin API and the sandbox."""
