"""Refusals of Salesforce's token endpoint, with advice for each."""

from streamer.errors import CredentialsRefused, SalesforceUnavailable, StreamerError

_TRANSIENT_CODES = {"server_error", "temporarily_unavailable", "unknown_error"}
_TRANSIENT_WORDS = ("rate exceeded", "retry your request", "too many requests")

# Fragments of error descriptions, the most specific first, and the advice for each.
_ADVICE = (
    (
        "audience validation",
        "set org.auth.audience to https://login.salesforce.com, or to https://test.salesforce.com",
    ),
    ("approved this consumer", "pre-authorise the app for this user by profile or permission set"),
    ("expired access/refresh token", "issue a new refresh token and set org.auth.refresh_token"),
    ("expired authorization code", "issue a new refresh token and set org.auth.refresh_token"),
    ("no client credentials user", "set a run-as user in the app's client credentials flow"),
    ("not supported on this domain", "set org.login_url to the org's My Domain address"),
    (
        "assertion",
        "check org.auth.client_id, org.auth.username, the app's certificate and this machine's time",
    ),
    ("restricted", "allow this network and hour for the user, or relax the app's IP rules"),
    ("authentication failure", "check the user name, the password and the security token appended to it"),
    ("inactive", "activate the user or the org"),
)
_ADVICE_BY_CODE = {
    "invalid_client": "check org.auth.client_id and org.auth.client_secret",
    "invalid_client_id": "check org.auth.client_id",
    "invalid_app_access": "allow the user to use the app by profile or permission set",
    "inactive_user": "activate the user",
    "inactive_org": "activate the org",
    "unsupported_grant_type": "enable this flow in the app's OAuth settings, or choose another org.auth.flow",
}


def refusal(code: str, description: str, *, login_url: str) -> StreamerError:
    """Return the error for the token endpoint's `code` and `description`.

    The codes and descriptions come from Salesforce's help on OAuth flow errors.
    Transient ones become `SalesforceUnavailable`.
    """
    said = f"{code}: {description}" if description else code
    if code in _TRANSIENT_CODES or any(word in description.lower() for word in _TRANSIENT_WORDS):
        return SalesforceUnavailable(f"Salesforce can't log us in at the moment ({said})")
    return CredentialsRefused(f"{login_url} refused the login ({said}): {_advice(code, description)}")


def _advice(code: str, description: str) -> str:
    lowered = description.lower()
    for fragment, advice in _ADVICE:
        if fragment in lowered:
            return advice
    return _ADVICE_BY_CODE.get(code, "check org.auth against the app's settings in the org")
