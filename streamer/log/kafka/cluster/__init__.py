"""Connection to the brokers: clients, errors, retries, names."""
