"""Secrets of the test: each is in use, and each has a different form."""

import base64
import json
from collections.abc import Mapping
from html import escape
from urllib.parse import quote

_SIGNING = base64.b64encode(b"canary-of-the-signing-secret-of-a-hook").decode()

# None is in a form that is known without its value.
CONFIGURED = {
    "ORG_SECRET": "canary/org client secret",
    "REFRESH_TOKEN": "5Aep.canary/refresh+token",
    "CLIENT_SECRET": "canary other client secret",
    "BEARER": "canary/bearer+token",
    "BASIC": 'canary "basic" password',
    "API_KEY": "canary-api/key",
    "HEADER": "canary/header+value",
    "WS_PASSWORD": "canary <ws> password",
    "MQTT_PASSWORD": "canary-mqtt/password",
    "KAFKA_PASSWORD": "canary-kafka/password",
    "SIGNING": f"whsec_{_SIGNING}",
    "ADMIN_TOKEN": "canary/admin+token-of-the-operator",
    "OUTBOUND": "canary-outbound_address",
    "COLLECTOR": "canary/collector+token",
}
"""Secrets of the configuration, by the variables that hold them."""

GIVEN = {
    "ACCESS_TOKEN": "canary!access/token+of=another-org",
    "OAUTH_TOKEN": "canary/oauth+token",
    "PATH": "canarypathofahook",
    "SESSION": "00D000000000001!canary.session_of.a.message",
}
"""Secrets that servers give, and those that stand in an address or in an envelope."""


def shown_in(places: Mapping[str, bytes], secrets: Mapping[str, str]) -> set[tuple[str, str]]:
    """Return which secrets stand in which places, in any form."""
    return {
        (place, name)
        for name, secret in secrets.items()
        for form in _forms(secret)
        for place, content in places.items()
        if form in content
    }


def _forms(secret: str) -> set[bytes]:
    """Return what a reader could find of `secret`."""
    bare = secret.removeprefix("whsec_")
    whole = {secret, bare, quote(secret, safe=""), json.dumps(secret)[1:-1], escape(secret)}
    for before in ("", "x", "xx"):
        encoded = base64.b64encode((before + secret).encode()).decode()
        whole.add(encoded[4:-4])
    return {each.encode() for each in whole}
