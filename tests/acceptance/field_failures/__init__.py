"""The ways in which streams fail those who read them, each through the real path on a turned clock."""
