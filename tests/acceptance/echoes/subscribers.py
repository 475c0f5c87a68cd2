"""A subscriber for each plugin and kind of secret."""

from typing import Any

from tests.acceptance.echoes.servers import EchoTarget
from tests.configuration import ORDER_KEY

_ORDERS = "salesforce.event.Order_Placed__e"
_RETRY = {"first_delay_s": 0.05, "max_delay_s": 0.05, "give_up_after_s": 0.3}
_ORDER = f"data.fields.{ORDER_KEY}"

Plugin = tuple[str, dict[str, Any]]


def subscribers(target: EchoTarget) -> dict[str, dict[str, Any]]:
    """Return the subscribers: most are refused, one is delivered, one follows it, and one is parked."""
    common = {"on": _ORDERS, "start": "earliest", "retry": _RETRY, "breaker": {"minimum": 1_000}}
    plugins = _org_plugins(target) | _hooks(target) | _other_plugins(target)
    found = {
        name: common | {"uses": uses, "settings": settings} | _sent(uses)
        for name, (uses, settings) in plugins.items()
    }
    hook = {"url": f"{target.url}/hook", "auth": {"kind": "bearer", "token": "${BEARER}"}}
    follower: dict[str, Any] = {
        "uses": "webhook",
        "after": "answered",
        "body": {"number": "receipts.answered"},
    }
    return found | {
        "answered": found["erp"] | {"receipts": True} | _settings(found["erp"], url=f"{target.url}/taken"),
        "follower": follower | {"retry": _RETRY, "settings": hook},
        "parked": found["rest"]
        | {"retry": {"fast_tries": 0, "first_delay_s": 3600, "max_delay_s": 3600}}
        | _settings(found["rest"], call={"rest": "/busy"}),
    }


def _settings(subscriber: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {"settings": subscriber["settings"] | changed}


def _sent(uses: str) -> dict[str, Any]:
    return {"text": "An order"} if uses == "slack" else {"body": {"Subject": _ORDER}}


def _org_plugins(target: EchoTarget) -> dict[str, Plugin]:
    auth = {"flow": "client_credentials", "client_id": "other", "client_secret": "${CLIENT_SECRET}"}
    org = {"login_url": target.url, "auth": auth}
    return {
        "rest": ("salesforce", {"org": org, "call": {"rest": "/echo"}}),
        "apex": ("salesforce", {"org": org, "call": {"soap": "Echo", "method": "echo"}}),
        "record": ("salesforce", {"org": org, "create": "Task"}),
        "event": ("salesforce", {"org": org, "event": "Other__e", "transport": "rest"}),
    }


def _hooks(target: EchoTarget) -> dict[str, Plugin]:
    url = f"{target.url}/hook"
    hook: dict[str, Any] = {"url": url, "signing": {"secrets": ["${SIGNING}"]}}
    basic = {"kind": "basic", "username": "u", "password": "${BASIC}"}
    return {
        "bearer": ("webhook", hook | {"auth": {"kind": "bearer", "token": "${BEARER}"}}),
        "basic": ("webhook", hook | {"auth": basic}),
        "header": ("webhook", {"url": url, "headers": {"X-Own": "${HEADER}"}}),
        "slack": (
            "slack",
            {"webhook_url": f"{target.url}/services/T0/B0/canarypathofahook", "interval_s": 0},
        ),
    }


def _other_plugins(target: EchoTarget) -> dict[str, Plugin]:
    token_url = f"{target.url}/oauth/token"
    oauth = {"kind": "oauth2", "token_url": token_url, "client_id": "c", "client_secret": "${CLIENT_SECRET}"}
    key = {"kind": "api_key", "key": "${API_KEY}"}
    security = {"username": "u", "password": "${WS_PASSWORD}"}
    soap = {"operation": "Create", "namespace": "urn:x", "security": security}
    sasl = {
        "protocol": "SASL_PLAINTEXT",
        "mechanism": "PLAIN",
        "username": "u",
        "password": "${KAFKA_PASSWORD}",
    }
    broker = {"bootstrap_servers": f"127.0.0.1:{target.port}", "topic": "t", "security": sasl}
    mqtt = {"url": f"mqtt://127.0.0.1:{target.port}", "username": "u", "password": "${MQTT_PASSWORD}"}
    return {
        "erp": ("erp", {"url": f"{target.url}/api", "external_id": _ORDER, "auth": oauth}),
        "shipment": ("fulfillment", {"url": target.url, "order": _ORDER, "auth": key}),
        "soap": ("erp", {"url": f"{target.url}/soap", "soap": soap}),
        "mqtt": ("mqtt", mqtt | {"topic": "t"}),
        "kafka": ("kafka", broker),
    }
