"""Authentication: access tokens of Salesforce, and their renewal."""
