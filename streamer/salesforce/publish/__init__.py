"""Publishing of platform events: over the Pub/Sub API in Avro, or over REST."""
