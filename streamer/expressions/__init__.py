"""Expressions of a configuration: JMESPath with functions of its own and Jinja2 templates, both bounded."""
