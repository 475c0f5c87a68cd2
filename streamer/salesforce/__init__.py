"""Clients of Salesforce: authentication, the REST API and the event channels."""
