"""Settings of logins by OAUTHBEARER, and Amazon's tokens."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from streamer.errors import ConfigurationError
from streamer.librdkafka.options import security_options
from streamer.librdkafka.tokens import msk_iam_token
from streamer.settings import KafkaSecurity

_BY_URL = {"token_url": "https://idp.acme.com/token", "client_id": "app", "client_secret": "a-long-secret"}
_SIGNER = """
class MSKAuthTokenProvider:
    def generate_auth_token(region):
        return f"{region}", 2000
    def generate_auth_token_from_profile(region, profile):
        return f"{region} {profile}", 2000
    def generate_auth_token_from_role_arn(region, role_arn):
        return f"{region} {role_arn}", 2000
"""


def bearer(oauth: Any = None, **others: Any) -> KafkaSecurity:
    """Return security settings with these tokens."""
    given = {
        "protocol": "SASL_SSL",
        "mechanism": "OAUTHBEARER",
        **({} if oauth is None else {"oauth": oauth}),
    }
    return KafkaSecurity.model_validate({**given, **others})


def test_settings_of_an_endpoint_become_librdkafkas() -> None:
    """With the extensions that Confluent Cloud asks for, and authorities for the endpoint alone."""
    extensions = {"logicalCluster": "lkc-1", "identityPoolId": "pool-1"}
    oauth = {**_BY_URL, "scope": "kafka", "extensions": extensions, "ca_file": "idp.pem"}

    options = security_options(bearer(oauth))

    assert {name: value for name, value in options.items() if name.startswith(("sasl.", "https."))} == {
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": "https://idp.acme.com/token",
        "sasl.oauthbearer.client.id": "app",
        "sasl.oauthbearer.client.secret": "a-long-secret",
        "sasl.oauthbearer.scope": "kafka",
        "sasl.oauthbearer.extensions": "logicalCluster=lkc-1,identityPoolId=pool-1",
        "https.ca.location": "idp.pem",
    }
    assert "a-long-secret" not in repr(bearer(oauth))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "OAUTHBEARER needs oauth"),
        ({"oauth": _BY_URL, "username": "ann", "password": "a-password"}, "takes no username"),
        ({"oauth": _BY_URL, "mechanism": "PLAIN", "username": "a", "password": "b"}, "only for mechanism"),
        (
            {"oauth": {**_BY_URL, "client_secret": None}},
            "must contain token_url, client_id and client_secret",
        ),
        ({"oauth": {**_BY_URL, "provider": "aws-msk-iam"}}, "either provider and its settings, or token_url"),
        ({"oauth": {**_BY_URL, "settings": {"region": "x"}}}, "settings are for a token provider"),
        ({"oauth": {**_BY_URL, "token_url": "http://idp.acme.com/token"}}, "must begin with https://"),
        ({"oauth": {**_BY_URL, "extensions": {"a b": "c"}}}, "a b"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(given: dict[str, Any], told: str) -> None:
    """The sentence says what is missing or too much."""
    with pytest.raises(ValidationError, match=told):
        bearer(**given)


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({"region": "eu-central-1"}, "eu-central-1"),
        ({"region": "eu-central-1", "profile": "ops"}, "eu-central-1 ops"),
        (
            {"region": "eu-central-1", "role_arn": "arn:aws:iam::1:role/k"},
            "eu-central-1 arn:aws:iam::1:role/k",
        ),
    ],
)
def test_amazons_package_signs_the_token(
    settings: dict[str, str], value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the credentials of the process, of a profile or of a role; the package says until when."""
    (tmp_path / "aws_msk_iam_sasl_signer.py").write_text(_SIGNER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "aws_msk_iam_sasl_signer", raising=False)

    token = msk_iam_token(settings)

    assert (token.value, token.expires_at) == (value, 2.0)


@pytest.mark.parametrize(
    "settings", [{}, {"region": "x", "profile": "a", "role_arn": "b"}, {"region": "x", "b": 1}]
)
def test_settings_that_amazons_package_does_not_take_are_refused(settings: dict[str, Any]) -> None:
    """Before the package is imported."""
    with pytest.raises(ConfigurationError, match="needs region, and takes profile or role_arn"):
        msk_iam_token(settings)
