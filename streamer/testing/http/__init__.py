"""A target on this machine that speaks HTTP, and what plugins must do when they face it."""
