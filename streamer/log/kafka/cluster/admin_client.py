"""Admin client that is replaced when no broker answers it."""

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors

_UNANSWERED = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
    }
)


class RenewedAdminClient:
    """Holds an admin client, and makes a new one after a call that no broker has answered.

    A client can lose its brokers for good (see `BrokerCheck`), and a new one
    costs nothing where none is reachable.
    """

    def __init__(self, clients: Clients, errors: KafkaErrors) -> None:
        """Connect lazily; background errors go to `errors`. Raises `LogMisconfigured`."""
        self._clients = clients
        self._errors = errors
        self.live: AdminClient = clients.admin(errors)
        """Client for one call."""

    def failed(self, error: KafkaError) -> None:
        """Note that a call of `live` failed with `error`."""
        # Serve the error callbacks of the background threads.
        self.live.poll(0)
        if error.code() in _UNANSWERED:
            self.live = self._clients.admin(self._errors)
