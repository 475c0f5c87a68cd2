"""Salesforce's side without a socket."""
