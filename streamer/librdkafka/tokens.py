"""Tokens for logins at Kafka by OAUTHBEARER, from a provider that a package brings as an entry point."""

import importlib
from collections.abc import Mapping
from importlib.metadata import distributions, entry_points
from itertools import chain
from typing import Any

from streamer import DISTRIBUTION
from streamer.errors import ConfigurationError
from streamer.known_secrets import KNOWN
from streamer.later import LaterLogger
from streamer.ports import KafkaToken, KafkaTokenProvider
from streamer.settings import KafkaOAuth

GROUP = "streamer.kafka_tokens"
"""Entry-point group of token providers."""

_log = LaterLogger()


class TokenSource:
    """Gets tokens from a provider; librdkafka calls the source as `oauth_cb`.

    librdkafka calls it on a thread of its own: when a client is created, and again
    when four fifths of a token's lifetime have passed. Nobody needs to poll the client.
    """

    def __init__(self, oauth: KafkaOAuth) -> None:
        """Load the provider; raises `ConfigurationError`."""
        self._name = str(oauth.provider)
        self._settings = oauth.settings
        self._provide = _loaded(self._name)
        self.failure = ""

    def __call__(self, _configuration: str) -> tuple[str, float, str, dict[str, str]]:
        """Return a token as librdkafka takes it; an error of the provider is logged and raised again."""
        try:
            token = self._provide(self._settings)
            KNOWN.renew(token.value)
        except Exception as exc:
            self.failure = str(exc) or type(exc).__name__
            _log.warning("kafka.token_missing", provider=self._name, reason=self.failure)
            raise
        self.failure = ""
        return token.value, token.expires_at, token.principal, dict(token.extensions)


def _loaded(name: str) -> KafkaTokenProvider:
    # Another package can't replace a provider of Streamer.
    own = (each.entry_points.select(group=GROUP) for each in distributions(name=DISTRIBUTION))
    points = {point.name: point for point in chain(entry_points(group=GROUP), *own)}
    if name not in points:
        raise ConfigurationError(
            f"no installed package has the token provider {name} (installed: {', '.join(sorted(points))}): "
            "install the package, or correct the name in security.oauth.provider"
        )
    try:
        provider: KafkaTokenProvider = points[name].load()
    except Exception as exc:
        raise ConfigurationError(f"the token provider {name} can't be loaded: {exc}") from exc
    return provider


def msk_iam_token(settings: Mapping[str, Any]) -> KafkaToken:
    """Return a token for Amazon MSK, signed with the AWS credentials of this process.

    `settings` has the `region`, and either a `profile` or a `role_arn` of AWS, or none
    of them. Raises `ConfigurationError` for other settings, or without Amazon's package.
    """
    known = dict(settings)
    region, profile, role = (known.pop(name, None) for name in ("region", "profile", "role_arn"))
    if known or not region or (profile and role):
        raise ConfigurationError("aws-msk-iam needs region, and takes profile or role_arn")
    try:
        signer = importlib.import_module("aws_msk_iam_sasl_signer").MSKAuthTokenProvider
    except ImportError as exc:
        raise ConfigurationError(
            "aws-msk-iam needs a package of Amazon: pip install aws-msk-iam-sasl-signer-python"
        ) from exc
    if profile:
        value, expires_ms = signer.generate_auth_token_from_profile(region, profile)
    elif role:
        value, expires_ms = signer.generate_auth_token_from_role_arn(region, role)
    else:
        value, expires_ms = signer.generate_auth_token(region)
    return KafkaToken(value=value, expires_at=expires_ms / 1000, principal="aws-msk-iam")
