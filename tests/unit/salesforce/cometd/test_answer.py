"""Events reach the channel that is read, even if they name it differently."""

import orjson
import pytest

from streamer.salesforce.cometd.answer import BayeuxResponse

FILTERED = "/topic/OpenInvoices?Status__c='Open'"


def answer(*channels: str, broken: bytes = b"") -> BayeuxResponse:
    """Return an answer with one event of each channel, numbered, and with a broken piece behind them."""
    pieces = [orjson.dumps({"channel": name, "data": number}) for number, name in enumerate(channels)]
    return BayeuxResponse.of(200, b"[" + b",".join([*pieces, *([broken] if broken else [])]) + b"]")


@pytest.mark.parametrize(
    ("path", "numbers"),
    [
        (FILTERED, [0, 1]),
        ("/topic/OpenInvoices", [0]),
        ("/topic/Open?Status__c='Open'", []),
        ("/u/Demo", [2]),
        ("/data/ChangeEvents", []),
    ],
)
def test_topic_that_is_read_with_a_filter_can_be_named_without(path: str, numbers: list[int]) -> None:
    """No guide says which of the two Salesforce does."""
    read = answer("/topic/OpenInvoices", FILTERED, "/u/Demo").events_of(path)

    assert [event["data"] for event in read] == numbers


@pytest.mark.parametrize("named", ["/topic/OpenInvoices", FILTERED])
def test_broken_piece_of_a_filtered_topic_is_its_own(named: str) -> None:
    """And not that of the channel that comes first."""
    broken = b'{"channel":"' + named.encode() + b'","data":"\xff"}'
    pieces = answer("/u/Demo", broken=broken).unreadable_of(["/data/ChangeEvents", FILTERED])

    assert {path: [each.raw for each in found] for path, found in pieces.items()} == {FILTERED: [broken]}
