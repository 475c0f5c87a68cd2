"""What everything that follows the log works with."""

from dataclasses import dataclass

from streamer.clock import Clock
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.topics.provisioner import TopicProvisioner
from streamer.observe.pulse import Pulses


@dataclass(frozen=True, slots=True, kw_only=True)
class LogContext:
    """A cluster, the topics on it, the time, and where threads show that they live."""

    clients: Clients
    topics: TopicProvisioner
    clock: Clock
    pulses: Pulses
