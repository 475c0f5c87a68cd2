"""Users of a broker's SASL_SSL listener."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """Users of the SASL_SSL listener: passwords by name, for each mechanism."""

    plain: Mapping[str, str] = field(default_factory=dict)
    scram: Mapping[str, str] = field(default_factory=dict)


def scram_arguments(users: Users) -> list[str]:
    """Return the arguments of `StorageTool format` for users that Kafka stores (SCRAM)."""
    return [
        argument
        for name, password in users.scram.items()
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
        for argument in ("--add-scram", f"{mechanism}=[name={name},password={password}]")
    ]


def sasl_properties(users: Users, keystore: Path) -> dict[str, str]:
    """Return the settings of a SASL_SSL listener with a PEM `keystore`."""
    modules = "org.apache.kafka.common.security"
    logins = "".join(f' user_{name}="{password}"' for name, password in users.plain.items())
    plain = f"{modules}.plain.PlainLoginModule required{logins};"
    scram = f"{modules}.scram.ScramLoginModule required;"
    # The broker accepts tokens without a signature, because no other validator is configured.
    bearer = f'{modules}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
    return {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": plain,
        "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": scram,
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": scram,
        "listener.name.sasl_ssl.oauthbearer.sasl.jaas.config": bearer,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        # Access rules apply to users of this listener. Plaintext clients can do everything.
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "allow.everyone.if.no.acl.found": "true",
    }
