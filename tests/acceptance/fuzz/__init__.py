"""Fuzz: random input that looks like real input, for every part that reads bytes from outside."""
