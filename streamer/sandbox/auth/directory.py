"""Directory of the org: its connected apps and its users, as the login endpoints know them."""

from collections.abc import Iterator, Mapping

from aiohttp import web

from streamer.sandbox.access.user import User
from streamer.sandbox.access.users import Users
from streamer.sandbox.auth.connected_app import ConnectedApp, TokenDenied, credentials, same
from streamer.sandbox.org.org import SandboxOrg


class Directory:
    """Finds apps by their client ids, and users by their names and passwords.

    Beside the org's own app, each user with a client id has an app that runs as
    that user.
    """

    def __init__(self, users: Users, app: ConnectedApp, org: SandboxOrg) -> None:
        self._users = users
        self._app = app
        self._org = org

    @property
    def org_id(self) -> str:
        """Id of the org now."""
        return self._org.settings.org_id

    def check_client(self, request: web.Request, form: Mapping[str, str]) -> ConnectedApp:
        """Return the app whose id and secret form or Basic header hold; raises `TokenDenied` otherwise."""
        client_id, secret = credentials(request, form)
        app = self.app(client_id)
        if not same(secret, app.client_secret):
            raise TokenDenied("invalid_client", "invalid client credentials")
        return app

    def app(self, client_id: str | None) -> ConnectedApp:
        """Return the app of a client id; raises `TokenDenied` if there is none."""
        found = next((app for app in self._apps() if same(client_id, app.client_id)), None)
        if found is None:
            raise TokenDenied("invalid_client_id", "client identifier invalid")
        return found

    def runs_as(self, app: ConnectedApp) -> str:
        """Return the id of the user of an app's client credentials."""
        named = None if app.run_as is None else self._users.id_of(app.run_as)
        return named or next(user_id for user_id, _ in self._users)

    def logged_in(self, username: str, password: str) -> str | None:
        """Return the id of the user of that name and password, or `None`.

        A security token can follow the password.
        """
        user_id = self._users.id_of(username)
        if user_id is None:
            return None
        own = self._users[user_id].password
        expected = self._app.password if own is None else own.get_secret_value()
        return user_id if same(password[: len(expected)], expected) else None

    def user_id(self, username: object) -> str | None:
        """Return the id of the user of that name, or `None`."""
        return self._users.id_of(username) if isinstance(username, str) else None

    def user(self, user_id: str) -> User:
        """Return the user of an id."""
        return self._users[user_id]

    def users(self) -> list[tuple[str, User]]:
        """Return the ids and the users."""
        return list(self._users)

    def _apps(self) -> Iterator[ConnectedApp]:
        yield self._app
        for _, user in self._users:
            if user.client_id is not None and user.client_secret is not None:
                yield ConnectedApp(
                    client_id=user.client_id,
                    client_secret=user.client_secret.get_secret_value(),
                    callbacks=self._app.callbacks,
                    run_as=user.username,
                )
