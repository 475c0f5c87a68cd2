"""Records that the broker refuses together, and the one deadline of a call."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import KafkaError

from subscribers.kafka import producer as producers
from subscribers.kafka.producer import DeliveryReport, ReportingProducer
from subscribers.kafka.records import Record
from tests.unit.subscribers.kafka.cluster import Cluster
from tests.waiting import LIMIT_S

Producing = Callable[..., ReportingProducer]


@pytest.fixture
def producing(monkeypatch: pytest.MonkeyPatch) -> Producing:
    """A function that returns a producer at a cluster, whose calls end 0.1 seconds after their time-out."""

    def at(cluster: Cluster, timeout_s: float = 0.2) -> ReportingProducer:
        monkeypatch.setattr(producers, "Producer", cluster.producer)
        return ReportingProducer({}, timeout_s, grace_s=0.1, slice_s=0.02)

    return at


def record(size: int = 10, topic: str = "orders") -> Record:
    """Return a record with a value of that many bytes."""
    return Record(topic, b"key", b"x" * size, {})


def codes(reports: list[DeliveryReport]) -> list[int | None]:
    """Return the codes of the errors of reports."""
    return [None if report.error is None else report.error.code() for report in reports]


@pytest.mark.parametrize("large", [0, 77, 199])
def test_one_record_that_is_too_large_is_found_by_halving(producing: Producing, large: int) -> None:
    """Of 200, with two writes for each halving, and all others are written once."""
    cluster = Cluster()
    reports = producing(cluster).produce([record(1_000 if index == large else 10) for index in range(200)])

    assert [index for index, report in enumerate(reports) if report.error is not None] == [large]
    assert codes(reports)[large] == KafkaError.MSG_SIZE_TOO_LARGE
    assert len(cluster.written) == 199
    assert len(cluster.batches) <= 1 + 2 * 8
    assert sorted(report.offset for report in reports if report.error is None) == list(range(199))


def test_each_of_several_large_records_is_found(producing: Producing) -> None:
    """However they are spread."""
    sizes = [1_000 if index in {0, 1, 5, 9} else 10 for index in range(10)]
    reports = producing(Cluster()).produce([record(size) for size in sizes])

    assert [report.error is not None for report in reports] == [size == 1_000 for size in sizes]


def test_record_that_is_refused_alone_is_written_once(producing: Producing) -> None:
    """It was the reason itself."""
    cluster = Cluster()

    assert codes(producing(cluster).produce([record(1_000)])) == [KafkaError.MSG_SIZE_TOO_LARGE]
    assert len(cluster.batches) == 1


def test_broker_that_stops_in_between_rejects_nothing(producing: Producing) -> None:
    """Records beyond the deadline have timed out: with the joint error, all would be dead letters."""
    cluster = Cluster(answers=2)
    reports = producing(cluster).produce([record(1_000), *[record()] * 15])

    assert set(codes(reports)) == {KafkaError._TIMED_OUT}
    # The deadline was over with the second half, so its halves were not tried.
    assert [len(batch) for batch in cluster.batches] == [16, 8, 8]
    assert not cluster.written


def test_look_ups_of_missing_topics_share_the_deadline(producing: Producing) -> None:
    """However many topics are missing."""
    cluster = Cluster(has_topic=False)
    producer = producing(cluster)
    records = [record(topic=f"topic-{number}") for number in range(10)]
    first = producer.produce(records)
    second = producer.produce(records)

    assert set(codes(first)) == {KafkaError._UNKNOWN_TOPIC}
    assert set(codes(second)) == {KafkaError._TIMED_OUT}
    assert sum(cluster.asked) < 0.5


def test_end_of_the_plugin_ends_the_calls_that_still_run(producing: Producing) -> None:
    """They report what was dropped, and the parts that they have not written yet make no other producer."""
    cluster = Cluster(answers=1)
    producer = producing(cluster, timeout_s=60)
    with ThreadPoolExecutor() as threads:
        call = threads.submit(producer.produce, [record(1_000), *[record()] * 3])
        while len(cluster.batches) < 2:
            time.sleep(0.005)
        producer.close()
        reports = call.result(LIMIT_S)

    assert set(codes(reports)) == {KafkaError._PURGE_INFLIGHT}
    assert codes(producer.produce([record()])) == [KafkaError._PURGE_INFLIGHT]
    assert (cluster.producers, len(cluster.batches)) == (1, 2)


def test_call_after_one_that_was_given_up_has_a_producer_of_its_own(producing: Producing) -> None:
    """No record is written long after its call."""
    cluster = Cluster(answers=0)
    producer = producing(cluster)
    assert codes(producer.produce([record()])) == [KafkaError._TIMED_OUT]
    cluster.answers = None

    assert codes(producer.produce([record()])) == [None]
    assert cluster.producers == 2
