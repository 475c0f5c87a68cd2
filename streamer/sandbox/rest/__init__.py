"""REST API of the sandbox, one file for each family of resources."""
