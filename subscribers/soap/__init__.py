"""SOAP for plugins: envelopes, WS-Security, and outcomes of faults."""

from subscribers.soap.service import SoapService
from subscribers.soap.settings import SoapSettings

__all__ = ["SoapService", "SoapSettings"]
