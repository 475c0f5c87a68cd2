"""Records of each topic: their keys, headers and values."""
