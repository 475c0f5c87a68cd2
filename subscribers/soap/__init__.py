"""SOAP for plugins: envelopes, WS-Security, and the outcome of an answer with a fault."""

from subscribers.soap.service import SoapService
from subscribers.soap.settings import SoapSettings

__all__ = ["SoapService", "SoapSettings"]
