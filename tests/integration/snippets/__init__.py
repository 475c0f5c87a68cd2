"""Every fenced block of the documentation works as it stands there."""
