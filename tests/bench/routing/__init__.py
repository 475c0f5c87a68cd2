"""Routing: selecting events by `on` and `when`, shaping them, and looking up records of the org."""
