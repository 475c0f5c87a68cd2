"""Access tokens: how the daemon logs in to Salesforce and stays logged in."""
