"""Random histories of an org whose records have states in the log, and a judge of the states."""
