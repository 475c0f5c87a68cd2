"""Records of the org become events."""
