"""Dispatch's side: one consumer for each subscriber."""
