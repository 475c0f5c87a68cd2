"""Clients of Salesforce: logins, event channels, queries, and writing."""
