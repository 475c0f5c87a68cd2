"""Creation and checks of the topics and their settings."""
