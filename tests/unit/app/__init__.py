"""The composition root, part by part."""
