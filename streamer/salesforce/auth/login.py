"""How to log in, as configured."""

from streamer.salesforce.auth.flows import ClientCredentials, Flow, JwtBearer, Password, RefreshToken
from streamer.salesforce.auth.tokens import Login
from streamer.settings import (
    Auth,
    ClientCredentialsAuth,
    JwtAuth,
    OrgSettings,
    PasswordAuth,
    RefreshAuth,
)


def login(org: OrgSettings) -> Login:
    """Return how to log in to `org`."""
    return Login(url=org.login_url, flow=_flow(org.auth), allow_http=org.allow_http)


def _flow(auth: Auth) -> Flow:
    match auth:
        case JwtAuth():
            return JwtBearer(
                client_id=auth.client_id,
                username=auth.username,
                key=auth.key.get_secret_value(),
                audience=auth.audience,
            )
        case ClientCredentialsAuth():
            return ClientCredentials(
                client_id=auth.client_id, client_secret=auth.client_secret.get_secret_value()
            )
        case RefreshAuth():
            return RefreshToken(
                client_id=auth.client_id,
                refresh_token=auth.refresh_token.get_secret_value(),
                client_secret=auth.client_secret.get_secret_value() if auth.client_secret else None,
            )
        case PasswordAuth():
            return Password(
                client_id=auth.client_id,
                username=auth.username,
                client_secret=auth.client_secret.get_secret_value(),
                password=auth.password.get_secret_value(),
            )
