"""The login flows: what is sent, and to which address."""

from typing import Any

import jwt
import pytest
from pydantic import SecretStr

from streamer.errors import ConfigurationError, CredentialsRefused, SalesforceUnavailable
from streamer.salesforce.auth.flows import refusal, secrets_of, token_form
from streamer.settings import Auth, ClientCredentialsAuth, JwtAuth, PasswordAuth, RefreshAuth
from tests.keys import private_key, private_key_pem

NOW = 1_735_689_600.0
MY_DOMAIN = "https://acme.my.salesforce.com"


def bearer(key: str | None = None, audience: str | None = None) -> JwtAuth:
    """Return a JWT flow, with a real key unless another is given."""
    pem = SecretStr(private_key_pem() if key is None else key)
    return JwtAuth(flow="jwt", client_id="app", username="bus@acme.com", key=pem, audience=audience)


def claims_of(auth: JwtAuth, login_url: str) -> dict[str, Any]:
    """Return what the assertion claims, its signature verified."""
    form = token_form(auth, login_url=login_url, now=NOW)
    options: Any = {"verify_exp": False, "verify_aud": False}
    return jwt.decode(form["assertion"], private_key().public_key(), algorithms=["RS256"], options=options)


def test_assertion_names_app_user_and_audience_for_three_minutes() -> None:
    """The JWT holds what Salesforce checks."""
    assert claims_of(bearer(), MY_DOMAIN) == {
        "iss": "app",
        "sub": "bus@acme.com",
        "aud": "https://login.salesforce.com",
        "exp": NOW + 180,
    }


@pytest.mark.parametrize(
    ("login_url", "audience"),
    [
        ("https://login.salesforce.com", "https://login.salesforce.com"),
        ("https://test.salesforce.com", "https://test.salesforce.com"),
        ("https://acme--uat.sandbox.my.salesforce.com", "https://test.salesforce.com"),
    ],
)
def test_audience_follows_the_login_address(login_url: str, audience: str) -> None:
    """Sandbox orgs log in at another host; what is configured goes before that."""
    assert claims_of(bearer(), login_url)["aud"] == audience
    assert claims_of(bearer(audience="https://x.example"), login_url)["aud"] == "https://x.example"


def test_unfit_key_is_one_sentence_that_does_not_quote_it() -> None:
    """A wrong file in place of the key is named without being shown."""
    auth = bearer(key="my dear secret")
    with pytest.raises(ConfigurationError, match="not an RSA private key") as raised:
        token_form(auth, login_url=MY_DOMAIN, now=NOW)
    assert "dear" not in str(raised.value)
    assert raised.value.__cause__ is None


FIRST, SECOND = SecretStr("s3cret-1"), SecretStr("s3cret-2")
FLOWS: list[Auth] = [
    bearer(key="s3cret-1"),
    ClientCredentialsAuth(flow="client_credentials", client_id="app", client_secret=FIRST),
    RefreshAuth(flow="refresh", client_id="app", refresh_token=FIRST, client_secret=SECOND),
    PasswordAuth(flow="password", client_id="app", username="u", client_secret=FIRST, password=SECOND),
]


@pytest.mark.parametrize("auth", FLOWS)
def test_no_secret_is_ever_shown(auth: Auth) -> None:
    """A flow may be logged; what it calls its secrets is everything that must not be."""
    assert "s3cret" not in repr(auth)
    assert all("s3cret" in secret for secret in secrets_of(auth))


@pytest.mark.parametrize("auth", FLOWS[1:])
def test_form_carries_what_the_flow_needs(auth: Auth) -> None:
    """Client id and secrets go to the token endpoint."""
    form = token_form(auth, login_url=MY_DOMAIN, now=NOW)
    assert form["client_id"] == "app"
    assert set(secrets_of(auth)) <= set(form.values())


def test_public_client_sends_no_secret_with_its_refresh_token() -> None:
    """An app without a secret must not send an empty one."""
    auth = RefreshAuth(flow="refresh", client_id="app", refresh_token=SecretStr("r"))
    assert "client_secret" not in token_form(auth, login_url=MY_DOMAIN, now=NOW)


@pytest.mark.parametrize(
    ("code", "description", "advice"),
    [
        ("invalid_grant", "authentication failure", "user name, the password"),
        ("invalid_grant", "authentication failure - Invalid Password", "user name, the password"),
        ("invalid_grant", "expired access/refresh token", "new refresh token"),
        ("invalid_grant", "Audience validation failed", "org.auth.audience"),
        ("invalid_grant", "user hasn't approved this consumer", "pre-authorise"),
        ("invalid_grant", "something new", "check that org.auth"),
        ("invalid_client", "invalid client credentials", "client_secret"),
        ("invalid_client_id", "client identifier invalid", "client_id"),
        ("unsupported_grant_type", "grant type not supported", "enable this flow"),
        ("inactive_user", "", "activate"),
    ],
)
def test_refused_login_says_what_to_do(code: str, description: str, advice: str) -> None:
    """Each known refusal is one sentence with its own advice."""
    error = refusal(code, description, login_url=MY_DOMAIN)
    assert isinstance(error, CredentialsRefused)
    assert advice in str(error)
    assert MY_DOMAIN in str(error)


@pytest.mark.parametrize(
    ("code", "description"),
    [("unknown_error", "retry your request"), ("server_error", ""), ("invalid_grant", "login rate exceeded")],
)
def test_refusal_that_passes_by_itself_is_tried_again(code: str, description: str) -> None:
    """Nobody needs to act on these."""
    assert isinstance(refusal(code, description, login_url=MY_DOMAIN), SalesforceUnavailable)
