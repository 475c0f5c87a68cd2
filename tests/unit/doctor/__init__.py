"""The doctor's parts, without a network."""
