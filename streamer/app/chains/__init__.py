"""Subscribers that come after each other: what each gets, and the receipts that it can name."""
