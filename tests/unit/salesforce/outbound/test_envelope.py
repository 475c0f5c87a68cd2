"""Envelopes of outbound messages, and invalid ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.salesforce.outbound.envelope import MalformedEnvelope, masked_envelope, parse_envelope
from tests.outbound import ORG, envelope, notification, notification_id

_TOKEN = "00D000000000001!AQ0AQFsecret.part_of_it"


def test_notification_is_read_with_its_fields() -> None:
    """Values are text, null where Salesforce says nil, and nested or repeated where the record is."""
    fields = (
        "<sf:Status>Open &amp; new</sf:Status><sf:Phone xsi:nil='true'/><sf:Empty/>"
        "<sf:Address><sf:City>Bonn</sf:City></sf:Address><sf:Tag>a</sf:Tag><sf:Tag>b</sf:Tag>"
    )
    found = parse_envelope(envelope(notification(7, fields=fields)))

    assert found.organization_id == ORG
    assert found.messages == [
        {
            "organization_id": ORG,
            "action_id": "04k000000000001AAA",
            "notification_id": notification_id(7),
            "entity": "Lead",
            "fields": {
                "Id": "00Q000000000007AAA",
                "Status": "Open & new",
                "Phone": None,
                "Empty": "",
                "Address": {"City": "Bonn"},
                "Tag": ["a", "b"],
            },
        }
    ]


def test_hundred_notifications_are_the_most() -> None:
    """The guide's limit."""
    hundred = [notification(number) for number in range(100)]

    assert len(parse_envelope(envelope(*hundred)).messages) == 100
    with pytest.raises(MalformedEnvelope, match="more than 100"):
        parse_envelope(envelope(*hundred, notification(100)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not XML",
        b"<a/>",
        b"<Envelope><Body/></Envelope>",
        envelope(),
        envelope(notification(1), org=""),
        envelope(notification(1))[:-20],
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b'<!DOCTYPE a [<!ENTITY b "cccc">]><a>&b;</a>',
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
        envelope("<a>" * 30 + "</a>" * 30, notification(1)),
        envelope("<a/>" * 50_001, notification(1)),
    ],
)
def test_anything_else_is_refused_without_quoting_it(body: bytes) -> None:
    """Entities, document types, too many levels and too many elements among it."""
    with pytest.raises(MalformedEnvelope) as refused:
        parse_envelope(body)

    assert "passwd" not in str(refused.value)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 900))
def test_torn_envelopes_raise_nothing_else(noise: bytes, at: int) -> None:
    """Bytes in the middle of a good envelope, and bytes alone."""
    whole = envelope(notification(1))
    for body in (noise, whole[:at] + noise + whole[at:]):
        try:
            parse_envelope(body)
        except MalformedEnvelope:
            continue


def test_session_and_addresses_are_not_kept_with_the_bytes() -> None:
    """Of an envelope that is XML, that is torn, or that is in UTF-16."""
    whole = envelope(notification(1), session=_TOKEN)
    for body in (whole, whole[: whole.index(b"EnterpriseUrl")], whole.decode().encode("utf-16")):
        kept = masked_envelope(body)

        assert b"secret" not in kept
        assert b"acme.example" not in kept
        assert b"04k000000000001AAA" in kept
