"""From Salesforce into the log: the core loop of a channel and what keeps it running."""
