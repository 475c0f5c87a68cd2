"""Streamer carries a Salesforce org's events to Kafka and to the systems that act on them."""

import os

DISTRIBUTION = "streamer-salesforce"
"""Name of the package in the package index."""

# gRPC reads this variable when it is first imported. With gRPC's own handling of forks, a process that a
# plugin forks can crash at its start (seen with gRPC 1.85: a quarter of these processes).
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# gRPC writes its own lines to the standard error, but its exceptions contain the same information.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
