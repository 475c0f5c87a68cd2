"""How the loss of a transactional id to another producer is noticed."""

from confluent_kafka import KafkaError

_FENCED = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})


def is_fencing(error: KafkaError) -> bool:
    """Return whether another producer has taken over the transactional id.

    Brokers answer the same when they have ended a transaction that took too long.
    """
    return error.code() in _FENCED
