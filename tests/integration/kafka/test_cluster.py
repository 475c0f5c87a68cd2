"""Three brokers that tests break one by one."""

from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
from confluent_kafka import OFFSET_END, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not marked so
    AdminClient,
    ConfigResource,
    NewTopic,
)

from streamer.log.kafka.cluster.bounded_reader import look_up
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.topics.admin import KafkaAdmin
from tests.integration.kafka.topics import own_settings, wait_until_known
from tests.waiting import LIMIT_S, block_until
from tools.kafka.broker import Broker
from tools.kafka.cluster import Cluster
from tools.kafka.server import BrokerFailed

_TOPIC = "kept"
_PARTITIONS = 3
_DEADLINE_S = 60


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three nodes and a topic that is spread over them."""
    with Cluster(proxied=1) as cluster:
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
        admin.create_topics([NewTopic(_TOPIC, _PARTITIONS)])[_TOPIC].result()
        wait_until_known(cluster.bootstrap, _TOPIC, partitions=_PARTITIONS)
        yield cluster


def _write(cluster: Cluster) -> list[bool]:
    """Write to every partition, all copies of it, and return the confirmation of each."""
    confirmed: list[bool] = []
    producer = Producer(
        {
            "bootstrap.servers": cluster.bootstrap,
            "acks": "all",
            "message.timeout.ms": _DEADLINE_S * 1000,
            "log_level": 0,
        }
    )
    for partition in range(_PARTITIONS):
        producer.produce(
            _TOPIC, b"x", partition=partition, on_delivery=lambda error, _: confirmed.append(error is None)
        )
    producer.flush(_DEADLINE_S + 10)
    return confirmed


def _controller(cluster: Cluster) -> Broker:

    def elected() -> Broker | None:
        with suppress(BrokerFailed):
            return cluster.controller
        return None

    found: Broker = block_until(elected)
    return found


def _wait_until_in_sync(bootstrap: str) -> None:
    """Return once every partition has three copies that are up to date."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    block_until(lambda: _copies_in_sync(admin) == [3] * _PARTITIONS)


def _copies_in_sync(admin: AdminClient) -> list[int]:
    seen = admin.list_topics(_TOPIC, timeout=LIMIT_S)
    return [len(partition.isrs) for partition in seen.topics[_TOPIC].partitions.values()]


def test_every_write_needs_two_of_three_copies(cluster: Cluster) -> None:
    """A topic made with default settings is as safe as three nodes can make it."""
    topic = ConfigResource(ConfigResource.Type.TOPIC, _TOPIC)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    settings = admin.describe_configs([topic])[topic].result()

    assert settings["min.insync.replicas"].value == "2"
    _wait_until_in_sync(cluster.bootstrap)


def test_cluster_goes_on_without_its_controller_and_takes_it_back(cluster: Cluster) -> None:
    """One node's death holds up writers for seconds, and after its return every copy is in sync."""
    victim = _controller(cluster)
    victim.kill()
    assert _write(cluster) == [True, True, True]
    assert _controller(cluster) is not victim

    victim.restart()

    _wait_until_in_sync(victim.bootstrap)


@pytest.mark.parametrize("client", ["admin", "consumer"])
def test_offsets_are_told_soon_after_a_partition_got_another_leader(cluster: Cluster, client: str) -> None:
    """A client keeps asking the leader that it knows, and is refused for that long."""
    clients = Clients(settings=own_settings(cluster.bootstrap))
    admin = KafkaAdmin(clients)
    consumer = clients.consumer(KafkaErrors(clients.settings), {"group.id": clients.settings.prefix})
    places = [TopicPartition(_TOPIC, partition) for partition in range(_PARTITIONS)]
    retry = clients.retry(40)
    with closing(consumer):
        before = admin.bounds(_TOPIC, range(_PARTITIONS)), look_up(consumer, places, OFFSET_END)
        leader = admin.cluster().topics[_TOPIC].partitions[0].leader
        [victim] = [node for node in cluster.nodes if node.node == leader]
        victim.kill()
        victim.restart()
        if client == "admin":
            assert retry.call(admin.bounds, _TOPIC, range(_PARTITIONS)) == before[0]
        else:
            assert retry.call(look_up, consumer, places, OFFSET_END) == before[1]


def test_clients_of_a_proxied_cluster_are_sent_to_the_proxies(cluster: Cluster) -> None:
    """A client of such a listener learns no other address."""
    cluster.wait_until_complete()
    inside = AdminClient({"bootstrap.servers": f"127.0.0.1:{cluster.nodes[0].proxied[0].port}"})
    told = inside.list_topics(timeout=LIMIT_S).brokers.values()

    assert {f"{node.host}:{node.port}" for node in told} == set(cluster.proxied_bootstrap().split(","))
