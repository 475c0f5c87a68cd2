"""The connection to the brokers: clients, errors, retries, names."""
