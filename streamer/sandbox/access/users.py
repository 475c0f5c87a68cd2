"""All users of the org."""

from collections.abc import Iterable, Iterator

from streamer.sandbox.access.schema_view import SchemaView
from streamer.sandbox.access.user import User
from streamer.sandbox.org.org import SandboxOrg


class Users:
    """Finds users by id and by name; the first user is the org's own user, who can do everything."""

    def __init__(self, org: SandboxOrg, users: Iterable[User] = ()) -> None:
        """Add `users` to the org's own user; a user with the same name replaces the own user."""
        self._org = org
        self._users = {org.settings.user_id: User(username=org.settings.username, name=org.settings.name)}
        for user in users:
            self.put(user)

    def __iter__(self) -> Iterator[tuple[str, User]]:
        """Iterate over the ids and the users."""
        return iter(tuple(self._users.items()))

    def __getitem__(self, user_id: str) -> User:
        """Return a user."""
        return self._users[user_id]

    def put(self, user: User) -> str:
        """Add a user, or replace the user with the same name, and return the id.

        Raises `ValueError` for a client id that another user has.
        """
        for _, other in self:
            others_client = other.client_id if other.username.lower() != user.username.lower() else None
            if others_client is not None and others_client == user.client_id:
                raise ValueError(
                    f"{user.username}: the user {other.username} already has the client_id {others_client!r}"
                )
        user_id = self.id_of(user.username) or self._org.add_user(user.username, user.name)
        self._users[user_id] = user
        return user_id

    def id_of(self, username: str) -> str | None:
        """Return the id of the user with this name, in any letter case, or `None`."""
        wanted = username.lower()
        return next((key for key, user in self._users.items() if user.username.lower() == wanted), None)

    def schema(self, user_id: str) -> SchemaView:
        """Return the schema as a user sees it."""
        return SchemaView(self._org.schema, self._users[user_id])
