"""Plans: the changes to make, and settings that already have the wanted value."""

import pytest

from streamer.errors import ConfigurationError
from streamer.salesforce.tooling.changes import (
    Action,
    ChangePlan,
    MemberOptions,
    adding,
    creating,
    deleting,
    disabling,
    enabling,
    removing,
)
from streamer.salesforce.tooling.refusals import SetupRefused
from tests.unit.salesforce.tooling.setups import SETUP

NOTHING = MemberOptions()


def said(plan: ChangePlan) -> list[str]:
    """Return the changes of a plan in words."""
    return [str(change) for change in plan.changes]


def test_enabling_selects_what_is_not_selected() -> None:
    """Once, however often and in whatever case it is named."""
    plan = enabling(SETUP, ["Account", "Invoice__c", "invoice__c", "accountChangeEvent"])
    assert said(plan) == ["select Invoice__c for ChangeEvents"]
    assert plan.already == ("Account is already selected for ChangeEvents.",)
    assert plan.after.entities == {"Account", "Contact", "Invoice__c"}


def test_disabling_leaves_custom_channels_alone() -> None:
    """The entity stays selected there, and counts."""
    plan = disabling(SETUP, ["Account", "Lead"])
    assert said(plan) == ["deselect Account on ChangeEvents"]
    assert plan.already == ("Lead is not selected for ChangeEvents.",)
    assert plan.after.entities == {"Account", "Contact"}


def test_adding_keeps_what_is_not_named() -> None:
    """A change replaces all metadata, so a new filter would drop the enriched fields."""
    plan = adding(SETUP, "/data/Erp__chn", "Account", MemberOptions(filter="Rating = 'Hot'"))
    (change,) = plan.changes
    (found,) = plan.after.of("Erp__chn")
    assert (change.action, found.filter, found.enriched) == (Action.CHANGE, "Rating = 'Hot'", ("ERP_Id__c",))
    assert found.id == SETUP.of("Erp__chn")[0].id


def test_adding_what_is_there_changes_nothing() -> None:
    """Without options, and with the same ones."""
    same = MemberOptions(filter="Industry = 'Energy'", enriched=("ERP_Id__c",))
    for options in (NOTHING, same):
        plan = adding(SETUP, "Erp__chn", "Account", options)
        assert plan.changes == ()
        assert "the filter Industry = 'Energy'; enriched with ERP_Id__c" in plan.already[0]


def test_empty_options_remove_filter_and_fields() -> None:
    """Otherwise a member would have to be deleted, with a hole in its events."""
    (found,) = adding(SETUP, "Erp__chn", "Account", MemberOptions(filter="", enriched=())).after.of(
        "Erp__chn"
    )
    assert (found.filter, found.enriched) == (None, ())


def test_channel_takes_its_kind_alone() -> None:
    """Changes or platform events, never both."""
    assert said(adding(SETUP, "Orders__chn", "Paid__e", NOTHING)) == ["select Paid__e for Orders__chn"]
    for channel, name in (("Orders__chn", "Account__c"), ("Erp__chn", "Paid__e")):
        with pytest.raises(ConfigurationError):
            adding(SETUP, channel, name, NOTHING)
    with pytest.raises(ConfigurationError, match="can't be enriched"):
        adding(SETUP, "Orders__chn", "Paid__e", MemberOptions(enriched=("A__c",)))


def test_channel_that_is_missing_is_told() -> None:
    """With the command that creates it."""
    with pytest.raises(SetupRefused, match="channels create Nope__chn"):
        adding(SETUP, "Nope__chn", "Account", NOTHING)
    with pytest.raises(SetupRefused, match="There is no channel Nope__chn"):
        removing(SETUP, "Nope__chn", "Account")


def test_creation_is_idempotent_but_keeps_the_kind() -> None:
    """An existing channel of another type can't be taken."""
    assert said(creating(SETUP, "New__chn", "event", None)) == ["create the channel New__chn"]
    assert creating(SETUP, "erp__chn", "data", None).already == ("The channel Erp__chn already exists.",)
    with pytest.raises(SetupRefused, match="type data, and the type of a channel can't be changed"):
        creating(SETUP, "Erp__chn", "event", None)


def test_deletion_takes_the_members_along() -> None:
    """As Salesforce does."""
    plan = deleting(SETUP, "Erp__chn")
    assert said(plan) == ["delete the channel Erp__chn"]
    assert (plan.after.channel("Erp__chn"), plan.after.of("Erp__chn")) == (None, ())
    assert deleting(SETUP, "Nope__chn").already == ("There is no channel Nope__chn.",)


@pytest.mark.parametrize(
    "plan",
    [
        enabling(SETUP, ["Lead"]),
        disabling(SETUP, ["Contact"]),
        adding(SETUP, "Erp__chn", "Account", MemberOptions(enriched=("Name",))),
        creating(SETUP, "New__chn", "data", None),
        deleting(SETUP, "Erp__chn"),
    ],
)
def test_change_is_made_in_the_setup_after_it_alone(plan: ChangePlan) -> None:
    """By this a lost answer is told apart from a lost request."""
    (change,) = plan.changes
    assert (change.is_made(plan.before), change.is_made(plan.after)) == (False, True)
