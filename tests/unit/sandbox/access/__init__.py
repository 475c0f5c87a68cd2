"""Users and their permissions."""
