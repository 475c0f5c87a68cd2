"""All users of the org."""

import pytest
from pydantic import SecretStr

from streamer.sandbox.access.user import User
from streamer.sandbox.access.users import Users
from tests.unit.sandbox.org.world import OrgWorld


def test_a_user_has_a_record(world: OrgWorld) -> None:
    """With an id of its own, and nothing is announced."""
    users = Users(world.org, (User(username="ida@acme.example", name="Ida"),))
    user_id = users.id_of("IDA@acme.example")
    assert user_id is not None
    assert world.org.retrieve("User", user_id)["Name"] == "Ida"
    assert user_id != world.org.settings.user_id
    assert world.messages() == []


def test_the_orgs_own_user_can_be_restricted(world: OrgWorld) -> None:
    """The id stays, and so do the logins that lead to it."""
    own = User(username=world.org.settings.username, hidden_fields=frozenset({"Account.Phone"}))
    users = Users(world.org, (own,))
    assert [user_id for user_id, _ in users] == [world.org.settings.user_id]
    assert users[world.org.settings.user_id].is_restricted


def test_a_client_id_belongs_to_one_user(world: OrgWorld) -> None:
    """A second one is named; the same user may keep it."""
    ida, bo = (
        User(username=name, client_id="reader", client_secret=SecretStr("x"))
        for name in ("ida@acme.example", "bo@acme.example")
    )
    users = Users(world.org, (ida, ida))
    with pytest.raises(
        ValueError, match=r"bo@acme.example: the user ida@acme.example already has the client_id 'reader'"
    ):
        users.put(bo)
