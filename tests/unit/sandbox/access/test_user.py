"""Permissions of one user."""

import pytest
from pydantic import ValidationError

from streamer.sandbox.access.user import ObjectPermission, User


def user(**permissions: object) -> User:
    """Return a user with these permissions."""
    return User.model_validate({"username": "reader@acme.example", **permissions})


def test_a_user_without_rules_may_do_everything() -> None:
    """Nothing is restricted by default."""
    everyone = user()
    assert not everyone.is_restricted
    assert everyone.may("Account", ObjectPermission.VIEW_ALL)
    assert everyone.may_subscribe("/data/ChangeEvents")


@pytest.mark.parametrize(
    ("type_name", "right", "allowed"),
    [
        ("Account", ObjectPermission.READ, True),
        ("account", ObjectPermission.EDIT, True),
        ("Account", ObjectPermission.DELETE, False),
        ("Contact", ObjectPermission.READ, True),
        ("Contact", ObjectPermission.CREATE, False),
        ("Lead", ObjectPermission.READ, False),
        ("User", ObjectPermission.READ, True),
        ("Organization", ObjectPermission.READ, True),
        ("User", ObjectPermission.EDIT, False),
    ],
)
def test_rights_are_those_of_the_type_or_of_all_others(
    type_name: str,
    right: ObjectPermission,
    allowed: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Every right includes reading, and users and the organization are readable for all."""
    rules = {"Account": ["edit"], "Lead": [], "*": ["read"]}
    assert user(objects=rules).may(type_name, right) is allowed


def test_fields_are_hidden_or_read_only() -> None:
    """In any letter case; what is hidden can't be written either."""
    some = user(hidden_fields=["Account.Phone"], read_only_fields=["Account.Fax"])
    assert some.hides("account", "phone")
    names = ("Phone", "Fax", "Name")
    assert [some.writes("Account", name) for name in names] == [False, False, True]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"hidden_fields": ["Phone"]}, "must name a type and a field"),
        ({"hidden_fields": ["Account.Id"]}, "is a system field"),
        ({"objects": {"Account": ["fly"]}}, "Input should be 'read', 'create'"),
        ({"client_id": "reader"}, "set both client_id and client_secret, or neither"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
    ],
)
def test_a_mistake_is_refused(wrong: dict[str, object], sentence: str) -> None:
    """With the place and what is expected there."""
    with pytest.raises(ValidationError, match=sentence):
        user(**wrong)
