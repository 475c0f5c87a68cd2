"""One attempt at a delivery."""
