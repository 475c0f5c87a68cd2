"""The commands that show the channels' positions, and order others."""
