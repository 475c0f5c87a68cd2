"""Pub/Sub API of Salesforce: event schemas, and events in binary Avro."""
