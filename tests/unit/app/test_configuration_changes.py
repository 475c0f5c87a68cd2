"""Differences between two configurations."""

from typing import Any

import pytest

from streamer.app.reloading import ConfigurationChanges, reloadable
from streamer.configuration import Document, load
from streamer.settings import Settings


def configured(**more: Any) -> Settings:
    """Return settings with subscribers that look up, one that hashes, and one that does neither."""
    auth = {"flow": "client_credentials", "client_id": "id", "client_secret": "secret"}
    subscriber = {"uses": "erp", "on": "salesforce.cdc.*"}
    data = {
        "org": {"login_url": "https://login.salesforce.com", "auth": auth},
        "channels": ["/data/ChangeEvents"],
        "subscribers": {
            "looking": {**subscriber, "when": "lookup('x', subject, 'none') == 'y'"},
            "hashing": {**subscriber, "body": {"who": "hmac_sha256(subject, 'main')"}},
            "reading": {
                **subscriber,
                "enrich": {"a": {"sobject": "A", "id": "lookup('x', subject, 'none')", "fields": ["B"]}},
            },
            "plain": subscriber,
        },
        **more,
    }
    return load(Document(data=data))


@pytest.mark.parametrize(
    ("changed", "subscribers"),
    [
        ({"tables": {"x": {"a": "b"}}}, ("looking", "reading")),
        ({"hash_keys": {"main": "0123456789abcdef"}}, ("hashing",)),
        ({}, ()),
    ],
)
def test_table_and_key_change_the_subscribers_that_use_them(
    changed: dict[str, Any], subscribers: tuple[str, ...]
) -> None:
    """Without a restart of the process."""
    old, new = configured(), configured(**changed)
    changes = ConfigurationChanges.between(old, new)

    assert (changes.changed, changes.waiting) == (subscribers, ())
    assert reloadable(old, new) == new
