"""Topics: created with the right settings, or checked."""
