"""Secrets are never shown."""

import json
from html import escape
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import BaseModel, ValidationError

from streamer.clock import TurnedClock
from streamer.ports import Preview
from subscribers.erp import Erp
from subscribers.http import Request
from subscribers.http.redaction import Redaction
from subscribers.slack import Slack
from subscribers.webhook import Webhook
from tests.deliveries import ORDER, context, delivery

SECRET = 'p/ä"ss+wörd-9'
USER = {"username": "u", "password": "hunter22"}
ERP = "https://erp.example.com/api/invoices"


@pytest.mark.parametrize(
    "echoed",
    [
        SECRET,
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        json.dumps(SECRET).replace("/", r"\/"),
        escape(SECRET),
        SECRET.replace('"', "&#34;"),
        quote(SECRET),
        quote(SECRET, safe=""),
    ],
)
def test_secret_is_taken_out_in_every_form(echoed: str) -> None:
    """However a target writes the secret back, it is blanked out."""
    cleaned = Redaction.of([SECRET])(f"you sent {echoed}!".encode()).decode()

    assert cleaned.strip('"') in {"you sent ***!", 'you sent "***"!'}


def test_longer_secret_is_taken_out_before_its_part() -> None:
    """Nothing of a secret stays when a shorter one is a part of it."""
    both = Redaction.of(["abcd"]) | Redaction.of(["abcdefgh"])

    assert both(b"abcdefgh abcd") == b"*** ***"


def test_redaction_does_not_show_its_secrets() -> None:
    """The repr of what knows the secrets holds none."""
    assert "hunter22" not in repr(Redaction.of(["hunter22"]))


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        (Erp.Settings, {"url": ERP, "auth": {"kind": "bearer", "token": "hunter22"}}),
        (Erp.Settings, {"url": ERP, "auth": {"kind": "basic", "username": "u", "password": "hunter22"}}),
        (Erp.Settings, {"url": ERP, "auth": {"kind": "api_key", "key": "hunter22"}}),
        (
            Erp.Settings,
            {
                "url": ERP,
                "auth": {
                    "kind": "oauth2",
                    "token_url": "https://erp.example.com/token",
                    "client_id": "c",
                    "client_secret": "hunter22",
                },
            },
        ),
        (Erp.Settings, {"url": ERP, "signing": {"secrets": ["whsec_hunter22hunter22hunter22hunter22"]}}),
        (Erp.Settings, {"url": ERP, "soap": {"operation": "A", "security": USER}}),
        (Slack.Settings, {"webhook_url": "https://hooks.slack.com/services/T/B/hunter22"}),
        (Slack.Settings, {"token": "hunter22", "channel": "C1"}),
    ],
)
def test_settings_do_not_show_their_secrets(model: type[BaseModel], settings: dict[str, Any]) -> None:
    """Neither repr, str nor JSON of correct settings holds a secret."""
    read = model.model_validate(settings)

    assert "hunter22" not in repr(read) + str(read) + read.model_dump_json()


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        (Erp.Settings, {"url": "https://u:hunter22@erp.example.com"}),
        (Erp.Settings, {"url": ERP, "auth": {"kind": "bearer", "token": "hunter22\n"}}),
        (Erp.Settings, {"url": ERP, "auth": {"kind": "beaver", "token": "hunter22"}}),
        (Erp.Settings, {"url": ERP, "signing": {"secrets": ["hunter22"]}}),
        (Erp.Settings, {"url": ERP, "soap": {"operation": "A", "security": {**USER, "password_type": 1}}}),
        (Erp.Settings, {"url": ERP, "soap": {"operation": "a b", "security": USER}}),
        (Slack.Settings, {"webhook_url": "ftp://hooks.slack.com/hunter22"}),
        (Slack.Settings, {"webhook_url": "https://hooks.slack.com/hunter22", "token": "hunter22"}),
    ],
)
def test_mistaken_settings_do_not_show_their_secrets(
    model: type[BaseModel], settings: dict[str, Any]
) -> None:
    """The error that a mistake leads to holds no secret either."""
    with pytest.raises(ValidationError) as error:
        model.model_validate(settings)

    assert "hunter22" not in str(error.value) + repr(error.value)


def test_token_in_the_path_of_an_address_is_masked() -> None:
    """As incoming webhooks have one; what an event puts beside it is shown."""
    url = "https://hooks.example.com/v2/k3Jd83hf0Qm29sLw7Tz1/{record_id}"
    plugin = Webhook(Webhook.Settings(url=url), context(TurnedClock()))

    shown = plugin.preview(delivery())
    assert isinstance(shown, Preview)
    assert shown.request == f"POST https://hooks.example.com/v2/***/{ORDER}"


@pytest.mark.parametrize(("kind", "lengths"), [("text", []), ("digest", [28])])
def test_request_names_no_secret_that_every_request_has(kind: str, lengths: list[int]) -> None:
    """The forms of a constant one are made once; a digest in base64 differs each time."""
    security = {**USER, "password_type": kind}
    soap = {"operation": "Create", "security": security}
    plugin = Erp(Erp.Settings.model_validate({"url": ERP, "soap": soap}), context(TurnedClock()))
    request = plugin.request(delivery())

    assert isinstance(request, Request)
    assert list(map(len, request.secrets)) == lengths
    shown = plugin.preview(delivery())
    assert isinstance(shown, Preview)
    assert b">***</wsse:Password>" in shown.content
