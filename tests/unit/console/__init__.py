"""The console, part by part."""
