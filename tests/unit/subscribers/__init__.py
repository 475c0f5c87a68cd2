"""The plugins without a network."""
