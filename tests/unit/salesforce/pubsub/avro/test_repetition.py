"""Bytes that repeat from one event to the next are recognised, and different bytes are not confused."""

import pytest

from streamer.errors import UnreadableEvent
from streamer.salesforce.pubsub.avro.primitives import read_long, read_text, repeating_reader
from tests.unit.salesforce.pubsub.avro.samples import ACCOUNT, header, parsed, written

BEGUN = {"ChangeEventHeader": header(changedFields=["0x02"]), "Name": "Acme"}


def test_equal_bytes_give_the_same_object() -> None:
    """Nothing is read, so nothing is made."""
    read = repeating_reader(read_text)
    first, end = read(b"\x0aab cd", 0)

    assert read(b"--\x0aab cd--", 2) == ("ab cd", end + 2)
    assert read(b"\x0aab cd", 0)[0] is first


@pytest.mark.parametrize("data", [b"\x06abd", b"\x04ab", b"\x08abcd", b"\x00"])
def test_other_bytes_are_read(data: bytes) -> None:
    """However alike they are."""
    read = repeating_reader(read_text)
    read(b"\x06abc", 0)

    assert read(data, 0) == read_text(data, 0)
    assert read(b"\x06abc", 0) == ("abc", 4)


def test_longer_number_is_no_repetition_of_a_shorter_one() -> None:
    """No number begins with all the bytes of another one."""
    read = repeating_reader(read_long)
    assert read(b"\x80\x01", 0) == (64, 2)
    assert read(b"\x80\x81\x01", 0) == read_long(b"\x80\x81\x01", 0)


def test_long_value_is_not_kept() -> None:
    """Each schema would keep it as long as it is known."""
    read = repeating_reader(read_text)
    long = b"\x80\x10" + b"x" * 1024

    assert read(long, 0)[0] is not read(long, 0)[0]


def test_event_that_ends_too_early_is_refused_behind_a_whole_one() -> None:
    """Each beginning of it, although all of it was read before."""
    schema, data = parsed(ACCOUNT), written(ACCOUNT, BEGUN)
    schema.decode(data)
    for end in range(len(data)):
        with pytest.raises(UnreadableEvent, match="is incomplete"):
            schema.decode(data[:end])
    assert schema.decode(data) == parsed(ACCOUNT).decode(data)


def test_header_of_each_event_is_its_own() -> None:
    """Whatever becomes of one payload, the next one is whole."""
    schema, data = parsed(ACCOUNT), written(ACCOUNT, BEGUN)
    wanted = parsed(ACCOUNT).decode(data)
    for _ in range(3):
        payload = schema.decode(data)
        assert payload == wanted
        about = payload.pop("ChangeEventHeader")
        about["changedFields"].append("written")
        about.clear()


def test_list_of_each_event_is_its_own() -> None:
    """A list that repeats is copied, also out of the reader that made it."""
    read = repeating_reader(lambda _data, at: ({"names": ["Name", {"of": ["City"]}]}, at + 1))
    for _ in range(3):
        found, _ = read(b"x", 0)
        assert found == {"names": ["Name", {"of": ["City"]}]}
        found["names"][1]["of"].clear()
        found["names"].clear()
