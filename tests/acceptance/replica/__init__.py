"""Random histories of an org, and a replica that is built from the log alone."""
