"""contracts tests."""
