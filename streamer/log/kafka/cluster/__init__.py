"""Connection to the brokers: clients, producers, errors, retries, and names of topics."""
