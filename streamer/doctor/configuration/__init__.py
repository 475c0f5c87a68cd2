"""Checks of what a configuration names: the files of its secrets, and the fields of its expressions."""
