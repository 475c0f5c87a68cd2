"""The sandbox's Pub/Sub API, as plain gRPC and an independent client see it."""
