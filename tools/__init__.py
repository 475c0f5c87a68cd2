"""Scripts for development and tests."""
