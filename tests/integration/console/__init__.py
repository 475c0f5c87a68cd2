"""The console of a real daemon, in a real Chromium."""
