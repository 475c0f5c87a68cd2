"""Fuzz: bytes from outside, in the shapes of real ones, against everything that reads them."""
