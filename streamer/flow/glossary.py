"""Words of Streamer that a first reader can't know, each with the explanation that every page shows."""

from collections.abc import Mapping
from types import MappingProxyType

HOLE, PARKED, NOT_SETTLED = "hole", "parked", "not settled"

EXPLANATIONS: Mapping[str, str] = MappingProxyType(
    {
        "continuity record": "describes a hole, its cause, and what Streamer has repaired",
        "dead letter": "an event that a target can never accept, or a message that Streamer can't read",
        HOLE: "events that can be missing from the log: Salesforce dropped or withheld them, or an operator "
        "skipped them",
        NOT_SETTLED: "in the log, but not yet delivered, skipped, parked or a dead letter",
        PARKED: "waits for another attempt after a failure, or behind an earlier event of the same record",
        "redrive": "to deliver a dead letter again",
    }
)
"""Explanations by word, in alphabetical order. docs/glossary.md has the same sentences."""
