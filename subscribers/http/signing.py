"""Signatures of requests (Standard Webhooks), which prove the sender and the unchanged content."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator

_PREFIX = "whsec_"

# Limits of the specification for the length of a key, in bytes.
_SHORTEST, _LONGEST = 24, 64

_MOST = 10


def _key(secret: str) -> bytes:
    # Decoding is strict, because receivers treat characters outside of base64 differently.
    core = secret.removeprefix(_PREFIX).rstrip("=")
    return b64decode(core + "=" * (-len(core) % 4), validate=True)


def _usable(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    try:
        size = len(_key(value)) if value.startswith(_PREFIX) else 0
    except ValueError:
        size = 0
    if not _SHORTEST <= size <= _LONGEST:
        raise ValueError(
            f"is not a signing secret: write {_PREFIX} and then {_SHORTEST} to {_LONGEST} bytes in base64, "
            f'such as the output of `echo "{_PREFIX}$(openssl rand -base64 32)"`'
        )
    return secret


class Signing(BaseModel):
    """Settings of the signatures; each of `secrets` adds one signature.

    While a secret is being replaced, list the old and the new secret, because the
    target can have either secret.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    secrets: tuple[Annotated[SecretStr, AfterValidator(_usable)], ...] = Field(
        description=(
            "list of the secrets (whsec_…); while you replace a secret, list the old and the new secret"
        )
    )

    @field_validator("secrets")
    @classmethod
    def _count_is_allowed(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        # min_length does not fit, because pydantic counts only valid secrets. So an invalid
        # secret would also cause a message about missing secrets.
        if not 1 <= len(secrets) <= _MOST:
            raise ValueError(f"must be a list of one to {_MOST} secrets")
        return secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Signs with each of `keys`; `secrets` are the texts that an answer must not repeat."""

    keys: tuple[bytes, ...] = field(default=(), repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, signing: Signing | None) -> Self:
        """Return the signer that `signing` describes; without `signing`, the signer adds no headers."""
        given = [secret.get_secret_value() for secret in signing.secrets] if signing else []
        # Prefix and padding are removed, so that a secret is found in any form that an answer
        # repeats.
        cores = tuple(secret.removeprefix(_PREFIX).rstrip("=") for secret in given)
        return cls(keys=tuple(map(_key, given)), secrets=cores)

    def headers(self, webhook_id: str, content: bytes, *, now: float) -> Mapping[str, str]:
        """Return the headers that sign `content`, sent with `webhook_id` at `now`, in epoch seconds.

        `webhook_id` must be the value of the header `webhook-id`. `webhook_id` must not
        contain a full stop, because a full stop separates the id from the timestamp in
        the signed text.
        """
        if not self.keys:
            return {}
        timestamp = str(int(now))
        signed = f"{webhook_id}.{timestamp}.".encode() + content
        signatures = (b64encode(hmac.digest(key, signed, "sha256")).decode() for key in self.keys)
        return {
            "webhook-timestamp": timestamp,
            "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
        }
