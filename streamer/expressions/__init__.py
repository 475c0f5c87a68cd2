"""Expressions of a configuration in JMESPath and Jinja2, limited in work and size."""
