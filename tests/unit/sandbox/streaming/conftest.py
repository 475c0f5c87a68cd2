"""An org with its streaming channels, without a server."""

from typing import Any

import pytest

from streamer.sandbox.org.org import OrgSetup
from streamer.sandbox.streaming.channels import StreamingChannels
from tests.unit.sandbox.org.world import OrgWorld


class StreamingWorld(OrgWorld):
    """One org, its PushTopics and its generic channels."""

    def __init__(self, settings: OrgSetup | None = None) -> None:
        """Start without a topic."""
        super().__init__(settings)
        self.streaming = StreamingChannels(self.org, self.bus, self.clock)

    def topic(self, query: str, **fields: Any) -> str:
        """Create the PushTopic `Topic`."""
        return self.create("PushTopic", **{"Name": "Topic", "Query": query, **fields})

    def notifications(self, path: str = "/topic/Topic") -> list[tuple[str, dict[str, Any]]]:
        """Return the type and the fields of each notification."""
        return [(each["event"]["type"], each["sobject"]) for each in self.messages(path)]


@pytest.fixture
def world() -> StreamingWorld:
    """An empty org."""
    return StreamingWorld()
