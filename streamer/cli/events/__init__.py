"""The commands that find events, tell their stories and follow new ones."""
