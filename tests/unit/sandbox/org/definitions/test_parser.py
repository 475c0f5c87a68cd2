"""Mistakes in a declared schema."""

from typing import Any

import pytest

from streamer.sandbox.org.definitions import DeclarationError, parse_schema

FIELD = "objects.Line__c.fields.X__c"


def mistakes(data: Any) -> dict[str, str]:
    """Return the sentences of all mistakes by their places."""
    with pytest.raises(DeclarationError) as caught:
        parse_schema(data)
    return {".".join(map(str, each.keys)): each.sentence for each in caught.value.mistakes}


def line(**fields: Any) -> dict[str, Any]:
    """Return a schema of one custom object."""
    return {"objects": {"Line__c": {"fields": fields}}}


def test_a_type_alone_is_a_field() -> None:
    """The short form and the long one say the same."""
    assert parse_schema(line(X__c="string")) == parse_schema(line(X__c={"type": "string"}))


@pytest.mark.parametrize("data", [None, {}, {"objects": None, "events": None, "channels": None}])
def test_nothing_has_to_be_declared(data: Any) -> None:
    """Not even a key."""
    schema = parse_schema(data)
    assert (schema.objects, schema.events, schema.channels, schema.closed) == ({}, {}, {}, False)


@pytest.mark.parametrize(
    ("field", "place", "part"),
    [
        ("txet", ".type", "must be 'string', 'textarea'"),
        ({"type": "string", "lenght": 3}, ".lenght", "use type, label, required, length"),
        ({"label": "X"}, "", "needs the key type"),
        ({"type": "string", "length": 0}, ".length", "must be at least 1"),
        ({"type": "boolean", "length": 3}, ".length", "remove this key from a field of type boolean"),
        (
            {"type": "string", "precision": 3},
            ".precision",
            "is allowed only for the types currency, double, percent",
        ),
        ({"type": "double", "precision": 3, "scale": 4}, ".scale", "larger than the precision (3 digits)"),
        ({"type": "date", "unique": True}, ".unique", "remove this key from a field of type date"),
        ({"type": "int", "external_id": True}, ".external_id", "remove this key from a field of type int"),
        ({"type": "string", "case_sensitive": True}, ".case_sensitive", "add `unique: true`"),
        (
            {"type": "string", "values": ["A"]},
            ".values",
            "is allowed only for the types multipicklist, picklist",
        ),
        ({"type": "picklist", "values": ["A", "A"]}, ".values", "contains A twice"),
        ({"type": "picklist", "values": [True]}, ".values.0", "put the value in quotes"),
        ({"type": "multipicklist", "values": ["A;B"]}, ".values", "semicolon"),
        ({"type": "string", "to": "Account"}, ".to", "is allowed only for the types reference"),
        ("reference", "", "needs the object to which the field refers"),
        ({"type": "reference", "to": "Nope"}, ".to", "names Nope, which is not an object"),
        (
            {"type": "reference", "to": "Account", "child_relationship": "Lines"},
            ".child_relationship",
            "must end in __r",
        ),
    ],
)
def test_a_mistake_in_a_field_has_its_place_and_a_remedy(field: Any, place: str, part: str) -> None:
    """And is the only one."""
    found = mistakes(line(X__c=field))
    assert list(found) == [f"{FIELD}{place}"]
    assert part in found[f"{FIELD}{place}"]


@pytest.mark.parametrize(
    ("data", "place", "part"),
    [
        ([], "", "must be a mapping with the keys objects"),
        ({"colsed": True}, "colsed", "use objects, events, channels, closed"),
        ({"objects": ["Account"]}, "objects", "must be a section"),
        ({"objects": {"Line_c": {"prefix": "x01"}}}, "objects.Line_c", "is not the name of an object"),
        ({"objects": {"Entitlement": {}}}, "objects.Entitlement", "set a prefix"),
        (
            {"objects": {"Entitlement": {"prefix": "550x"}}},
            "objects.Entitlement.prefix",
            "three letters or digits",
        ),
        (
            {"objects": {"Entitlement": {"prefix": "001"}}},
            "objects.Entitlement.prefix",
            "is already the prefix of Account",
        ),
        ({"objects": {"Entitlement": {"prefix": "a01"}}}, "objects.Entitlement.prefix", "custom objects"),
        ({"objects": {"Account": {"prefix": "002"}}}, "objects.Account.prefix", "remove this key"),
        ({"objects": {"Line__c": {}, "LINE__c": {}}}, "objects.LINE__c", "the same name as Line__c"),
        (line(Amount="double"), "objects.Line__c.fields.Amount", "name the field Amount__c"),
        (line(A__b__c="double"), "objects.Line__c.fields.A__b__c", "is not the name of a field"),
        (line(CreatedDate="datetime"), "objects.Line__c.fields.CreatedDate", "every object has"),
        (
            {"objects": {"account": {"prefix": "x01"}}},
            "objects.account",
            "the spelling Account in Salesforce",
        ),
        (
            {"objects": {"Account": {"fields": {"phone": "string"}}}},
            "objects.Account.fields.phone",
            "the spelling Phone in Salesforce",
        ),
        (line(Name="int"), "objects.Line__c.fields.Name.type", "the type string in Salesforce"),
        (line(X__c="date", x__c="date"), "objects.Line__c.fields.x__c", "the same name as X__c"),
        (
            {"objects": {"Account": {"fields": {"Phone": "string"}}}},
            "objects.Account.fields.Phone.type",
            "the type phone in Salesforce",
        ),
        ({"events": {"Paid__c": {}}}, "events.Paid__c", "is not the name of a platform event"),
        ({"events": {"Paid__e": {"fields": {"X": "string"}}}}, "events.Paid__e.fields.X", "Order_No__c"),
        (
            {"events": {"Paid__e": {"fields": {"X__c": "picklist"}}}},
            "events.Paid__e.fields.X__c.type",
            "must be 'string'",
        ),
        ({"events": {"Paid__e": {"fields": {"X__c": {}}}}}, "events.Paid__e.fields.X__c.type", "is missing"),
        ({"channels": {"Erp": {"Account": []}}}, "channels.Erp", "ChangeEvents or Erp__chn"),
        ({"channels": {"Erp__chn": {}}}, "channels.Erp__chn", "needs a member"),
        (
            {"channels": {"Erp__chn": {"Nope": []}}},
            "channels.Erp__chn.Nope",
            "is neither an object nor a platform event",
        ),
        ({"channels": {"Erp__chn": {"Account": ["Nope"]}}}, "channels.Erp__chn.Account", "has no field Nope"),
        ({"channels": {"Erp__chn": {"Account": "Name"}}}, "channels.Erp__chn.Account", "must be a list"),
        ({"channels": {"Erp__chn": {"Account": [], "P__e": []}}}, "channels.Erp__chn", "for each kind"),
        (
            {"channels": {"ChangeEvents": {"P__e": []}}},
            "channels.ChangeEvents.P__e",
            "carries only changes of objects",
        ),
        ({"channels": {"P__chn": {"P__e": ["X__c"]}}}, "channels.P__chn.P__e", "can't be enriched"),
        (
            {"closed": True, "channels": {"P__chn": {"P__e": []}}},
            "channels.P__chn.P__e",
            "declare the event under events",
        ),
        (
            {"closed": True, "channels": {"P__chn": {"P__c": []}}},
            "channels.P__chn.P__c",
            "is neither an object nor a platform event",
        ),
    ],
)
def test_a_mistake_has_its_place_and_a_remedy(data: Any, place: str, part: str) -> None:
    """And is the only one."""
    found = mistakes(data)
    assert list(found) == [place]
    assert part in found[place]


def test_two_references_need_two_names_in_the_parent() -> None:
    """The default comes from the object."""
    reference = {"type": "reference", "to": "Account"}
    found = mistakes(line(A__c=reference, B__c=reference))
    assert "child_relationship" in found["objects.Line__c.fields.B__c"]
    parse_schema(line(A__c=reference, B__c={**reference, "child_relationship": "Others__r"}))


def test_all_mistakes_are_found_at_once() -> None:
    """Those of form and those between keys, and none that follows from another."""
    data = {
        "objects": {"Line__c": {"fields": {"X__c": "txet", "Y__c": {"type": "date", "length": 3}}}},
        "events": {"Paid__e": {"fields": {"Z__c": "picklist"}}},
        "channels": {"Erp__chn": {"Line__c": ["X__c", "Nope__c"]}, "P__chn": {"Paid__e": []}},
        "closed": "perhaps",
    }
    assert list(mistakes(data)) == [
        f"{FIELD}.type",
        "events.Paid__e.fields.Z__c.type",
        "closed",
        "objects.Line__c.fields.Y__c.length",
        "channels.Erp__chn.Line__c",
    ]


def test_an_object_that_is_wrong_spoils_nothing_that_refers_to_it() -> None:
    """Its name is known, whatever else is wrong with it."""
    reference = {"type": "reference", "to": "Line__c"}
    data = {"closed": True, "objects": {"Line__c": 7, "Part__c": {"fields": {"Line__c": reference}}}}
    assert list(mistakes(data)) == ["objects.Line__c"]
