"""What speaks to Salesforce, without a socket."""
