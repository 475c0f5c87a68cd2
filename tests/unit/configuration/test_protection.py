"""Rules of protect: mistakes name their place and the remedy, and what protects nothing is told."""

import pytest

from streamer.configuration import load_document, load_draft, protection_warnings
from tests.unit.configuration.conftest import GOOD, Write, told_of

KEY = "protection: {key: an-invented-key-of-32-characters}\n"


def mistake_of(write: Write, text: str, *, channels: str = "[/data/ChangeEvents]") -> str:
    """Return the mistakes of a configuration with `text`."""
    return told_of(write(GOOD.replace("[/data/ChangeEvents]", channels) + text))


def warnings_of(write: Write, text: str, *, channels: str = "[/data/ChangeEvents]") -> list[str]:
    """Return the warnings about a configuration with `text`, without their places."""
    path = write(GOOD.replace("[/data/ChangeEvents]", channels) + text)
    document = load_document([path], {})
    return [line.removeprefix(f"{path}:") for line in protection_warnings(load_draft(document), document)]


def test_rule_takes_one_name_or_a_list(write: Write) -> None:
    """As on does."""
    assert not mistake_of(write, f"{KEY}protect: [{{entity: Contact, fields: [Email, Phone], how: hash}}]\n")
    assert not mistake_of(write, 'protect: [{on: "*", fields: Email, how: drop}]\n')
    assert not mistake_of(write, 'protect: [{entity: "*", data: transaction.user, how: mask, text: "-"}]\n')


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            "{entity: Contact, fields: Email, how: hash}",
            "9: protect.0.how: found 'hash', which needs a key: set ",
        ),
        (
            "{entity: Contact, fields: Email, how: hide}",
            "9: protect.0.how: found 'hide'; must be 'drop', 'mask', ",
        ),
        ("{entity: Contact, fields: Email}", "9: protect.0.how: is missing"),
        ("{entity: Contact, how: drop}", "9: protect.0: names no field: write fields: [Email, Phone], or "),
        (
            "{fields: Email, how: drop}",
            "9: protect.0: needs either entity or on, such as entity: Contact, or ",
        ),
        (
            "{entity: [], fields: Email, how: drop}",
            "9: protect.0: names no entity: to protect all entities, write entity: '*'",
        ),
        ("{entity: A, on: B, fields: Email, how: drop}", "9: protect.0: needs either entity or on"),
        (
            "{entity: /event/X__e, fields: A, how: drop}",
            "must be names such as Contact, Invoice__c, Order_Placed__e",
        ),
        ("{on: [a b], fields: A, how: drop}", "must be event types such as salesforce.cdc.Contact.*"),
        ("{entity: A, fields: data.fields.Email, how: drop}", "must not begin with data.fields: write Email"),
        ("{entity: A, fields: ['Email '], how: drop}", "without white space at the ends"),
        ("{entity: A, data: transaction.key, how: drop}", "must be 'payload', 'transaction.user', "),
        (
            "{entity: A, fields: B, how: drop, keep_last: 4}",
            "keep_last has an effect only with how: mask, but how is drop",
        ),
        (
            "{entity: A, fields: B, how: mask, normalise: lower}",
            "normalise has an effect only with how: hash, but how is mask",
        ),
        (
            "{entity: A, fields: B, how: mask, text: x, keep_length: true}",
            "so text has no effect: remove text",
        ),
        (
            "{entity: A, fields: B, how: mask, keep: 4}",
            "protect.0.keep: no such key; did you mean keep_last? ",
        ),
    ],
)
def test_mistake_names_its_place_and_the_remedy(write: Write, rule: str, expected: str) -> None:
    """So that no one stores for a while what was to be protected."""
    assert expected in mistake_of(write, f"protect: [{rule}]\n")


@pytest.mark.parametrize(
    ("protection", "expected"),
    [
        ("{key: short}", "protection.key: found a value that is not shown; must have at least 32 characters"),
        ("{key_id: 'a b'}", "protection.key_id: found "),
        (
            "{unreadable: drop}",
            "protection.unreadable: found 'drop'; must be 'withhold', 'encrypt' or 'keep'",
        ),
        (
            "{unreadable: encrypt}",
            "protection.unreadable: found 'encrypt', which needs a key: set protection.key",
        ),
    ],
)
def test_mistake_in_protection_shows_no_key(write: Write, protection: str, expected: str) -> None:
    """However it is mistaken."""
    assert expected in mistake_of(write, f"protection: {protection}\n")


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (
            "{entity: Order__e, fields: No__c, how: drop}",
            "a rule in protect drops, so events lose their order",
        ),
        ("{entity: '*', fields: '*', how: mask}", "a rule in protect masks, so events lose their order"),
        ("{on: '*', fields: no__C, how: drop}", "protect drops"),
        ("{entity: Order__e, fields: No__c, how: hash}", ""),
        ("{entity: Order__e, fields: No__c, how: keep}", ""),
        ("{entity: Contact, fields: No__c, how: drop}", ""),
    ],
)
def test_key_of_a_channel_has_to_stay_one(write: Write, rule: str, told: str) -> None:
    """A hashed one orders events as before."""
    channels = "[{path: /event/Order__e, key: No__c}, /data/ChangeEvents]"
    found = mistake_of(write, f"{KEY}protect: [{rule}]\n", channels=channels)

    assert (told in found) if told else not found


def test_first_rule_decides_about_the_key(write: Write) -> None:
    """As it does about the field."""
    rules = "[{entity: Order__e, fields: No__c, how: hash}, {entity: '*', fields: '*', how: drop}]"
    channels = "[{path: /event/Order__e, key: No__c}]"

    assert "lose their order" not in mistake_of(write, f"{KEY}protect: {rules}\n", channels=channels)


@pytest.mark.parametrize(
    ("channels", "entity", "told"),
    [
        ("[/data/ContactChangeEvent]", "Contact", ""),
        ("[/data/ContactChangeEvent]", "contact", ""),
        (
            "[/data/ContactChangeEvent]",
            "Contct",
            "no channel carries, so the rule protects nothing; did you mean Contact?",
        ),
        (
            "[/data/ContactChangeEvent]",
            "Lead",
            "found 'Lead', which no channel carries, so the rule protects nothing",
        ),
        ("[/data/ChangeEvents]", "Lead", ""),
        ("[/data/ChangeEvents]", "Contract", ""),
        (
            "[/data/ChangeEvents]",
            "Contat",
            "found 'Contat', which is not the name of a common object; did you mean Contact?",
        ),
        ("[/data/ChangeEvents]", "Invoice__c", ""),
        ("[/data/ChangeEvents]", "Invoice__ChangeEvent", "did you mean Invoice__c?"),
        ("[/data/ChangeEvents]", "Order__e", "found 'Order__e', which no channel carries"),
        ("[/data/ChangeEvents, /event/Order__e]", "Order_e", "did you mean Order__e?"),
        ("[/event/Orders__chn]", "Order__e", ""),
        ("[/topic/OpenCases]", "Case", "found 'Case', which no channel carries"),
        ("[/u/notes/All]", "notes_All", ""),
        ("[/u/notes/All]", "'*'", ""),
    ],
)
def test_rule_that_protects_nothing_is_told(write: Write, channels: str, entity: str, told: str) -> None:
    """With the name that is likely to be meant."""
    warnings = warnings_of(
        write, f"protect: [{{entity: {entity}, fields: A, how: drop}}]\n", channels=channels
    )

    assert all(told in line and line.startswith("9: protect.0.entity: ") for line in warnings)
    assert len(warnings) == bool(told)


def test_types_that_no_channel_carries_are_told_one_by_one(write: Write) -> None:
    """The others protect."""
    rule = "{on: [salesforce.cdc.*, salesforce.event.*], fields: A, how: drop}"
    (line,) = warnings_of(write, f"protect: [{rule}]\n")

    assert line.startswith("9: protect.0.on.1: found 'salesforce.event.*', which no channel carries")
