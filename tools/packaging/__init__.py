"""Files that an installation brings beside the code, made from the code and from `pyproject.toml`."""
