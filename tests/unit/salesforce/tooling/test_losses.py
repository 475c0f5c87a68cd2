"""Losses of the channels that a configuration reads."""

from streamer.salesforce.tooling.changes import (
    Loss,
    MemberOptions,
    adding,
    deleting,
    disabling,
    enabling,
    losses,
)
from tests.unit.salesforce.tooling.setups import SETUP

CHANGES, ERP = "/data/ChangeEvents", "/data/Erp__chn"
PATHS = [CHANGES, ERP, "/data/ContactChangeEvent", "/data/AccountChangeEvent", "/event/Order_Placed__e"]


def test_channel_loses_what_it_carried() -> None:
    """The one of the entity too, where no other channel selects it."""
    assert losses(disabling(SETUP, ["Contact"]), PATHS) == [
        Loss(path=CHANGES, names=("Contact",)),
        Loss(path="/data/ContactChangeEvent", names=("Contact",)),
    ]
    assert losses(disabling(SETUP, ["Account"]), PATHS) == [Loss(path=CHANGES, names=("Account",))]


def test_deleted_channel_is_gone() -> None:
    """With what it carried."""
    assert losses(deleting(SETUP, "Erp__chn"), PATHS) == [Loss(path=ERP, names=("Account",), is_gone=True)]


def test_new_filter_loses_what_it_does_not_match() -> None:
    """Another filter does too, and none does not."""
    (loss,) = losses(adding(SETUP, "ChangeEvents", "Account", MemberOptions(filter="Rating = 'Hot'")), PATHS)
    assert loss == Loss(path=CHANGES, names=("Account",), filter="Rating = 'Hot'")
    assert losses(adding(SETUP, "Erp__chn", "Account", MemberOptions(filter="")), PATHS) == []


def test_nothing_is_lost_by_more() -> None:
    """And nothing by what the configuration does not read."""
    assert losses(enabling(SETUP, ["Lead"]), PATHS) == []
    assert losses(disabling(SETUP, ["Contact"]), [ERP]) == []
