"""Routing: events to subscribers by `on` and `when`, in the shape of each, with records of the org."""
