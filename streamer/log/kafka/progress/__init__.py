"""Dispatch's side: what is settled, committed as offsets of the subscriber's group."""
