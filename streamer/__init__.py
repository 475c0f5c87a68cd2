"""Streamer carries a Salesforce org's events to Kafka and to the systems that act on them."""

import os

DISTRIBUTION = "streamer-salesforce"
"""Name of the package as pip knows it."""

# gRPC reads this when it is first imported. With its own handling of forks, a process that a plugin forks can
# crash before it has begun anything (seen with gRPC 1.85: a quarter of them).
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# gRPC writes lines of its own to the standard error; what they say is in its errors as well.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
