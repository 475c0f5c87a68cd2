"""Names of the Tooling API."""

import pytest

from streamer.errors import ConfigurationError
from streamer.salesforce.tooling.setup import (
    change_event,
    channel_name,
    custom_channel_name,
    entity_of,
    event_name,
    member_name,
)


@pytest.mark.parametrize(
    ("entity", "event"),
    [
        ("Account", "AccountChangeEvent"),
        ("Invoice__c", "Invoice__ChangeEvent"),
        ("acme__Invoice__c", "acme__Invoice__ChangeEvent"),
    ],
)
def test_entity_and_its_change_event_name_each_other(entity: str, event: str) -> None:
    """Two products build the name of a custom object wrongly, and read nothing."""
    assert (change_event(entity), change_event(event), entity_of(event)) == (event, event, entity)


@pytest.mark.parametrize(
    "name", ["Order_Placed__e", "", "Account;", "1Account", "Erp__chn", "Käse", "/data/X"]
)
def test_what_is_no_entity_is_refused(name: str) -> None:
    """Before Salesforce is asked."""
    with pytest.raises(ConfigurationError):
        change_event(name)


@pytest.mark.parametrize(
    "name",
    [
        "DataCloudEntities",
        "datacloudentities",
        "DataCloudEntities__chn",
        "/data/DataCloudEntities",
        "acme__DataCloudEntities__chn",
    ],
)
def test_channel_of_data_360_is_never_touched(name: str) -> None:
    """Salesforce's guide forbids it, and Data 360 would miss changes."""
    for named in (channel_name, custom_channel_name):
        with pytest.raises(ConfigurationError, match="Data 360"):
            named(name)
    assert channel_name("DataCloudEntities2__chn") == "DataCloudEntities2__chn"


def test_platform_event_is_told_apart_from_changes() -> None:
    """A channel carries one of the two."""
    assert event_name("Order_Placed__e") == "Order_Placed__e"
    assert event_name("LoginEventStream") == "LoginEventStream"
    for name in ("AccountChangeEvent", "Invoice__c", "Erp__chn", "a b"):
        with pytest.raises(ConfigurationError):
            event_name(name)


def test_channel_is_named_by_its_name_or_its_path() -> None:
    """As it stands in a configuration."""
    assert channel_name("Erp__chn") == channel_name("/data/Erp__chn") == "Erp__chn"
    assert channel_name("/data/ChangeEvents") == "ChangeEvents"
    for name in ("Erp", "__chn", "/data/AccountChangeEvent", "a__b__c__chn"):
        with pytest.raises(ConfigurationError, match="custom channel"):
            channel_name(name)
    with pytest.raises(ConfigurationError, match="always exists"):
        custom_channel_name("ChangeEvents")


def test_member_has_no_two_underscores_in_a_row() -> None:
    """As the guide asks."""
    assert member_name("Erp__chn", "Invoice__ChangeEvent") == "Erp_chn_Invoice_ChangeEvent"
    assert member_name("ChangeEvents", "AccountChangeEvent") == "ChangeEvents_AccountChangeEvent"
