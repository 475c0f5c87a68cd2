"""Real Apicurio Registry for tests, over Confluent's API."""
