"""A mistake in a plugin's settings is one clear sentence."""

from base64 import b64encode, urlsafe_b64encode
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from subscribers.erp import Erp
from subscribers.fulfillment import Fulfillment
from subscribers.slack import Slack

WEBHOOK = "https://hooks.slack.com/services/T/B/x"


def soap(**settings: Any) -> dict[str, Any]:
    """Return the settings of an ERP over SOAP."""
    return {"url": "https://e.com", "soap": settings}


@pytest.mark.parametrize(
    ("model", "settings", "sentence"),
    [
        (Erp.Settings, {}, "Field required"),
        (Erp.Settings, {"url": "erp.example.com"}, "url must begin with https:// and name a host"),
        (Erp.Settings, {"url": "https://"}, "url must begin with https:// and name a host"),
        (Erp.Settings, {"url": "https://[::1"}, "url is not a URL"),
        (Erp.Settings, {"url": "https://e.com:99999"}, "url is not a URL"),
        (Erp.Settings, {"url": "https://e e.com"}, "url is not a URL"),
        (Erp.Settings, {"url": f"https://{'e' * 64}.com"}, "url is not a URL"),
        (Erp.Settings, {"url": "http://erp.example.com"}, "url is plain http: use https"),
        (Erp.Settings, {"url": "http://127.0.0.1.example.com"}, "url is plain http: use https"),
        (Erp.Settings, {"url": "https://2852039166/"}, "url is not a URL"),
        (Erp.Settings, {"url": "https://0x7f.1/"}, "url is not a URL"),
        (Erp.Settings, {"url": "https://10.1.2.3/"}, "url names a private address: set allow_private"),
        (Erp.Settings, {"url": "https://[fd00::1]/"}, "url names a private address: set allow_private"),
        (
            Erp.Settings,
            {"url": "https://10.1.2.3/", "allow_private": ["10.2.0.0/16"]},
            "url names a private address",
        ),
        (
            Erp.Settings,
            {"url": "https://169.254.169.254/", "allow_private": True},
            "url names the address of a cloud's metadata service, which is always forbidden",
        ),
        (
            Erp.Settings,
            {"url": "https://e.com", "allow_private": ["10.1.2.3/8"]},
            "10.1.2.3/8 has host bits that are not zero: write networks such as 10.20.0.0/16",
        ),
        (Erp.Settings, {"url": "https://e.com", "allow_private": ["erp"]}, "erp is not a network"),
        (Erp.Settings, {"url": "https://e.com", "allow_private": "yes"}, "must be true, false, or a list of"),
        (
            Erp.Settings,
            {"url": "https://e.com", "auth": {"kind": "api_key", "key": "k", "header": "A", "query": "b"}},
            "set only one of header and query",
        ),
        (Erp.Settings, {"url": "https://a:b@erp.example.com"}, "must not contain a user or password"),
        (Erp.Settings, {"url": "https://e.com", "method": "GET"}, "'PUT', 'PATCH' or 'POST'"),
        (
            Erp.Settings,
            {"url": "https://e.com", "method": "POST", "deletions": "delete"},
            "deletions: delete needs method PUT or PATCH",
        ),
        (
            Erp.Settings,
            {"url": "https://e.com", "external_id": "a b"},
            "is not a JMESPath expression: unexpected input at column 3",
        ),
        (Erp.Settings, {"url": "https://e.com", "external_id": "a.(b"}, "unexpected input at column 3"),
        (
            Erp.Settings,
            {"url": "https://e.com", "external_id": "a."},
            "is not a JMESPath expression: the expression is incomplete",
        ),
        (
            Erp.Settings,
            {"url": "https://e.com", "external_id": ""},
            "is not a JMESPath expression: the expression is empty",
        ),
        (Erp.Settings, {"url": "https://e.com", "auth": {"kind": "basic"}}, "Field required"),
        (Erp.Settings, {"url": "https://e.com", "auth": {"kind": "bearer", "token": ""}}, "token is empty"),
        (Erp.Settings, {"url": "https://e.com", "timeout": 3}, "Extra inputs are not permitted"),
        (Erp.Settings, {"url": "https://e.com", "outcomes": {"40": "skip"}}, "is neither a status from 200"),
        (Erp.Settings, {"url": "https://e.com", "outcomes": {"4XX": "skip"}}, "such as 4xx"),
        (Erp.Settings, {"url": "https://e.com", "outcomes": {"604": "skip"}}, "is neither a status from 200"),
        (Erp.Settings, {"url": "https://e.com", "outcomes": {404: "drop"}}, "'delivered', 'retry', 'hold'"),
        (Erp.Settings, {"url": "https://e.com", "signing": {}}, "Field required"),
        (Erp.Settings, {"url": "https://e.com", "signing": {"secrets": []}}, "must be a list of one to 10"),
        (Erp.Settings, soap(), "set operation or envelope"),
        (Erp.Settings, soap(operation="a b"), "String should match pattern"),
        (Erp.Settings, soap(operation="A", version="2"), "'1.1' or '1.2'"),
        (Erp.Settings, soap(operation="A", action='a"b'), "String should match pattern"),
        (Erp.Settings, soap(operation="A", result={"a": "//b"}), "String should match pattern"),
        (Erp.Settings, soap(operation="A", faults=[{"then": "skip"}]), "set code, text or detail"),
        (
            Erp.Settings,
            soap(operation="A", faults=[{"text": "(", "then": "skip"}]),
            "is not a regular expression: missing )",
        ),
        (Erp.Settings, soap(envelope="<a>\n{{ b"), "is not a Jinja2 template: line 2: unexpected end"),
        (Erp.Settings, soap(envelope="{{ a | b }}"), "is not a Jinja2 template: line 1: No filter named 'b'"),
        (
            Erp.Settings,
            soap(envelope="{{ fields.Name }}"),
            "uses the unknown name fields in line 1; known names: body,",
        ),
        (Erp.Settings, soap(envelope="<a/>", key_element="A"), "key_element has no effect with envelope"),
        (
            Erp.Settings,
            soap(envelope="<a/>", security={"username": "u", "password": "p"}),
            "envelope must contain {{ security }}",
        ),
        (
            Erp.Settings,
            soap(operation="A", security={"username": "u", "password": "p\n"}),
            "password contains a line feed",
        ),
        (Erp.Settings, {**soap(operation="A"), "method": "PUT"}, "method has no effect with soap"),
        (Erp.Settings, {**soap(operation="A"), "deletions": "delete"}, "needs soap.delete_operation"),
        (Fulfillment.Settings, {"url": "https://e.com", "cancel_when": "=="}, "JMESPath"),
        (Slack.Settings, {}, "set either webhook_url, or token and channel"),
        (Slack.Settings, {"token": "xoxb-1"}, "channel is missing"),
        (Slack.Settings, {"webhook_url": WEBHOOK, "channel": "C1"}, "channel has no effect"),
        (Slack.Settings, {"webhook_url": WEBHOOK, "record_url": "https://x"}, "must contain {id}"),
        (Slack.Settings, {"webhook_url": "http://hooks.slack.com/x"}, "webhook_url is plain http"),
    ],
)
def test_mistake_is_a_clear_sentence(model: type[BaseModel], settings: dict[str, Any], sentence: str) -> None:
    """It names the mistake and the allowed values."""
    with pytest.raises(ValidationError) as error:
        model.model_validate(settings)

    assert sentence in str(error.value)


def test_token_url_is_held_to_the_same_rules() -> None:
    """A client's secret does not travel in the clear either."""
    auth = {"kind": "oauth2", "token_url": "http://e.com/token", "client_id": "c", "client_secret": "s"}

    with pytest.raises(ValidationError, match=r"auth\.token_url is plain http"):
        Erp.Settings.model_validate({"url": "https://e.com", "auth": auth})


@pytest.mark.parametrize("host", ["localhost:1", "erp.localhost", "127.0.0.1", "[::1]:8080"])
def test_plain_http_to_loopback_needs_no_permission(host: str) -> None:
    """Traffic that never leaves the machine can be plain."""
    assert Erp.Settings.model_validate({"url": f"http://{host}/api"}).url == f"http://{host}/api"


@pytest.mark.parametrize("version", ["1.2", 1.2])
def test_version_of_soap_can_lack_its_quotes(version: object) -> None:
    """YAML reads it as a number then."""
    read = Erp.Settings.model_validate(soap(operation="A", version=version))

    assert read.soap is not None
    assert read.soap.version == "1.2"


@pytest.mark.parametrize("allow_private", [True, ["10.0.0.0/8", "fd00::/8"]])
def test_private_address_can_be_allowed(allow_private: object) -> None:
    """An ERP in one's own network, by its address."""
    Erp.Settings.model_validate({"url": "https://10.1.2.3/api", "allow_private": allow_private})


def test_url_with_loopback_allows_loopback_alone() -> None:
    """The settings name it themselves, so no name can lead there unseen."""
    rule = Erp.Settings.model_validate({"url": "http://localhost:8080/api"}).address_rule

    assert rule.refusal("127.0.0.1") is None
    assert rule.refusal("10.1.2.3") is not None


def test_plain_http_elsewhere_can_be_allowed() -> None:
    """A network that one trusts may be named as such."""
    Erp.Settings.model_validate({"url": "http://erp.internal/api", "allow_http": True})


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_hunter22",
        "whsec_" + b64encode(b"x" * 23).decode(),
        "whsec_" + b64encode(b"x" * 65).decode(),
        b64encode(b"x" * 32).decode(),
        "whpk_" + b64encode(b"x" * 32).decode(),
        "whsec_" + urlsafe_b64encode(b"\xff" * 32).decode(),
        "whsec_" + b64encode(b"x" * 32).decode() + "\n",
        "whsec_ü" + b64encode(b"x" * 32).decode(),
    ],
)
def test_signing_secret_that_a_receiver_would_read_otherwise_is_refused(secret: str) -> None:
    """The place is named, the secret is not shown."""
    good = "whsec_" + b64encode(b"y" * 32).decode()
    with pytest.raises(ValidationError) as error:
        Erp.Settings.model_validate({"url": "https://e.com", "signing": {"secrets": [good, secret]}})

    [detail] = error.value.errors()
    assert detail["loc"] == ("signing", "secrets", 1)
    assert "write whsec_ and then 24 to 64 bytes in base64" in detail["msg"]
    assert len(secret) < 7 or secret not in str(error.value)
