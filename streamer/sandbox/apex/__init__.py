"""Apex methods of the sandbox: written in Python by a test, and called over REST and SOAP."""

from streamer.sandbox.apex.methods import ApexAnswer, ApexCall, ApexException, ApexMethods

__all__ = ["ApexAnswer", "ApexCall", "ApexException", "ApexMethods"]
