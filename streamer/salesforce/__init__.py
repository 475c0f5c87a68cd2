"""Everything that speaks to Salesforce: who we are, its REST API, its event channels."""
