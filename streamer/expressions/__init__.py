"""Expressions of a configuration: JMESPath and Jinja2, both bounded in work and size."""
