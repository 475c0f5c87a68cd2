"""A rule applies to a field by each of its names, and to no other field."""

import pytest

from streamer.protection import names_field
from tests.unit.protection.rules import rule


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("Email", "Email"),
        ("email", "EMAIL"),
        ("*Phone*", "MobilePhone"),
        ("*", "Anything.At.All"),
        ("E*a*l", "Email"),
        ("MailingAddress", "MailingAddress.City"),
        ("MailingAddress.City", "MailingAddress.City"),
        ("MailingCity", "MailingAddress.City"),
        ("MailingAddress.City", "MailingCity"),
        ("MailingAddress", "MailingStateCode"),
        ("State", "Address.State"),
        ("Address", "PostalCode"),
        ("LastName", "Name.LastName"),
        ("Name", "Name.LastName"),
        ("Name", "LastName"),
        ("Site__Latitude__s", "Site__c.Latitude"),
        ("Site__c", "Site__Latitude__s"),
        ("customer.email", "customer.email"),
        ("customer", "customer.email.home"),
    ],
)
def test_rule_names_a_field(written: str, path: str) -> None:
    """By its path, by the compound field around it, and by the name that it has elsewhere."""
    assert names_field(rule("drop", written), path)


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("Email", "Email__c"),
        ("Email", "customer.Email"),
        ("*Phone", "PhoneNumber"),
        ("Ema*mail", "Email"),
        ("E*l*l", "Email"),
        ("MailingCity", "OtherAddress.City"),
        ("MailingAddress.City", "MailingAddress.Street"),
        ("MailingAddress.City", "MailingAddress"),
        ("Name", "AccountName"),
        ("FirstName", "Name.LastName"),
    ],
)
def test_rule_names_no_other_field(written: str, path: str) -> None:
    """However alike the names are."""
    assert not names_field(rule("drop", written), path)


def test_pattern_of_many_stars_is_matched_in_linear_time() -> None:
    """A member of a generic event can have a name of a megabyte."""
    assert not names_field(rule("drop", "a*a*a*a*a*a*a*a*b"), "a" * 1_000_000)
