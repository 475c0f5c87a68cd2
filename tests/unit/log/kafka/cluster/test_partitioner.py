"""The partitioner chooses partitions as Java's clients do."""

import pytest

from streamer.log.kafka.cluster.names import murmur2, partition_of

# From the tests of Apache Kafka's own client, `UtilsTest.testMurmur2`, as signed integers.
_JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "signed"), _JAVA.items())
def test_hash_is_the_one_that_java_computes(key: bytes, signed: int) -> None:
    """Kafka's own vectors cover every length of the rest after whole words."""
    assert murmur2(key) == signed % 2**32


def test_partition_of_a_negative_hash_is_counted_from_its_lower_bits() -> None:
    """Java clears the sign before it takes the remainder."""
    assert partition_of(b"21", 8) == (-973932308 & 0x7FFFFFFF) % 8
