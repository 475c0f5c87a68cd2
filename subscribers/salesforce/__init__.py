"""Salesforce plugin: publishes a platform event for each event."""

from subscribers.salesforce.plugin import Salesforce

__all__ = ["Salesforce"]
