"""Salesforce plugin, which publishes platform events, writes records and calls Apex methods."""

from subscribers.salesforce.plugin import Salesforce

__all__ = ["Salesforce"]
