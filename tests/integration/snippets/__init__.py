"""Every fenced block of the documentation works unchanged."""
