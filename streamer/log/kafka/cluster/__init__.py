"""Connection to the brokers: clients, producers, errors, retries, and the names of topics."""
