"""Directory of the org's connected apps and users, for the login endpoints."""

from collections.abc import Iterator, Mapping

from aiohttp import web

from streamer.sandbox.access.user import User
from streamer.sandbox.access.users import Users
from streamer.sandbox.auth.connected_app import ConnectedApp, TokenDenied, credentials, same
from streamer.sandbox.org.org import SandboxOrg


class Directory:
    """Finds apps by their client ids, and users by their names and passwords.

    In addition to the org's own app, each user with a client id has an app that runs as
    this user.
    """

    def __init__(self, users: Users, app: ConnectedApp, org: SandboxOrg) -> None:
        self._users = users
        self._app = app
        self._org = org

    @property
    def org_id(self) -> str:
        """Current id of the org."""
        return self._org.settings.org_id

    def check_client(self, request: web.Request, form: Mapping[str, str]) -> ConnectedApp:
        """Return the app whose id and secret are in the form or the Basic header.

        Raises `TokenDenied` otherwise.
        """
        client_id, secret = credentials(request, form)
        app = self.app(client_id)
        if not same(secret, app.client_secret):
            raise TokenDenied("invalid_client", "invalid client credentials")
        return app

    def app(self, client_id: str | None) -> ConnectedApp:
        """Return the app with this client id; raises `TokenDenied` if no app has this id."""
        found = next((app for app in self._apps() if same(client_id, app.client_id)), None)
        if found is None:
            raise TokenDenied("invalid_client_id", "client identifier invalid")
        return found

    def runs_as(self, app: ConnectedApp) -> str:
        """Return the id of the user whom an app's client credentials log in."""
        named = None if app.run_as is None else self._users.id_of(app.run_as)
        return named or next(user_id for user_id, _ in self._users)

    def logged_in(self, username: str, password: str) -> str | None:
        """Return the id of the user with this name and password, or `None`.

        A security token can follow the password.
        """
        user_id = self._users.id_of(username)
        if user_id is None:
            return None
        own = self._users[user_id].password
        expected = self._app.password if own is None else own.get_secret_value()
        return user_id if same(password[: len(expected)], expected) else None

    def user_id(self, username: object) -> str | None:
        """Return the id of the user with this name, or `None`."""
        return self._users.id_of(username) if isinstance(username, str) else None

    def user(self, user_id: str) -> User:
        """Return the user with this id."""
        return self._users[user_id]

    def users(self) -> list[tuple[str, User]]:
        """Return all users with their ids."""
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
