"""Secrets that are known by their values."""

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from html import escape
from urllib.parse import quote, quote_plus

import pytest
from pydantic import BaseModel, SecretStr
from yarl import URL

from streamer.dispatch.delivery.foreign_values import kept
from streamer.dispatch.delivery.plugin_calls import outcome_of, outcomes_of
from streamer.errors import CredentialsRefused, SalesforceUnavailable
from streamer.events import Delivered, FailureClass, Hold, Reject, Retry
from streamer.known_secrets import KNOWN, KnownSecrets, secrets_in
from streamer.observe.redaction import masked

TOKEN = "0Qe/canary+access <token>&7"


@pytest.fixture
def known() -> KnownSecrets:
    """A set with one secret."""
    known = KnownSecrets()
    known.configure([TOKEN])
    return known


@pytest.mark.parametrize(
    "echo",
    [
        str,
        quote_plus,
        escape,
        lambda secret: quote(secret, safe=""),
        lambda secret: quote(secret, safe="").lower().replace("0qe", "0Qe"),
        lambda secret: json.dumps({"x": secret}),
        lambda secret: json.dumps({"x": secret}).replace("/", r"\/"),
        lambda secret: b64encode(f"user:{secret}".encode()).decode(),
        lambda secret: b64encode(f"users:{secret}:x".encode()).decode(),
        lambda secret: urlsafe_b64encode(f"use:{secret}".encode()).decode(),
        lambda secret: quote(b64encode(f"user:{secret}".encode()).decode(), safe=""),
        # An address that aiohttp has written.
        lambda secret: str(URL("https://erp.example.com/").with_query(key=secret)).partition("=")[2],
    ],
)
def test_secret_is_taken_out_in_every_form(known: KnownSecrets, echo: Callable[[str], str]) -> None:
    """Text, bytes and nested values lose it, and keep what stands around it."""
    said = f"you sent {echo(TOKEN)} to us"
    shown = known.hidden(said)

    assert shown.startswith("you sent ")
    assert shown.endswith(" to us")
    assert "***" in shown
    assert "canary" not in shown
    assert known.hidden_bytes(said.encode()) == shown.encode()
    assert known.hidden_in({"a": [said], said: 1}) == {"a": [shown], shown: 1}


def test_base64_leaves_no_part_that_can_be_decoded(known: KnownSecrets) -> None:
    """At most the letters beside a neighbour stay."""
    for user in ("u", "us", "use", "user"):
        shown = known.hidden(b64encode(f"{user}:{TOKEN}".encode()).decode())
        assert len(shown.replace("***", "")) <= 4 + len(b64encode(f"{user}:".encode()))


def test_short_words_stay(known: KnownSecrets) -> None:
    """A password of four letters would garble every sentence."""
    known.configure(["erp", "admin"])

    assert known.hidden("the erp said admin") == "the erp said admin"


def test_latest_renewed_secrets_are_known() -> None:
    """Those that are renewed for months do not pile up, and the configured ones stay."""
    known = KnownSecrets()
    known.configure(["configured-secret"])
    for number in range(1_000):
        known.renew(f"token-number-{number}")

    assert known.hidden("configured-secret token-number-999 token-number-900") == "*** *** ***"
    assert known.hidden("token-number-1 ") == "token-number-1 "


def test_parts_of_addresses_and_signing_keys_are_known() -> None:
    """A proxy's password, a webhook's path and a key without its prefix can be repeated alone."""
    known = KnownSecrets()
    known.configure(
        [
            "http://ann:s3cretword@proxy:3128",
            "https://hooks.acme.com/services/T0000/B0000/s3cretpath",
            "whsec_c2VjcmV0LWtleS1vZi1zaWduaW5n",
        ]
    )

    said = "s3cretword /services/T0000/B0000/s3cretpath c2VjcmV0LWtleS1vZi1zaWduaW5n"
    assert known.hidden(said) == "*** *** ***"


def test_secrets_of_settings_are_found_at_any_depth() -> None:
    """Mappings and lists of models are searched, and plain texts are not taken."""

    class Inner(BaseModel):
        key: SecretStr

    class Outer(BaseModel):
        name: str
        many: list[Inner]
        headers: dict[str, SecretStr]

    settings = Outer.model_validate({"name": "erp", "many": [{"key": "one"}], "headers": {"X": "two"}})

    assert secrets_in(settings) == {"one", "two"}


class HookAddress(BaseModel):
    """Settings with an address that is shown without its query."""

    url: str


@pytest.mark.parametrize(
    ("url", "echo"),
    [
        ("https://teams.example.com/run?sv=1.0&sig=c2lnbmF0dXJl-XyZ", "it was c2lnbmF0dXJl-XyZ"),
        ("https://teams.example.com/run?sig=c2ln%2BdXJlXyZ0", "it was c2ln+dXJlXyZ0"),
        ("https://hooks.example.com/run?x=1&k=canary-7", "POST /run?x=1&k=canary-7"),
        ("https://hooks.example.com/run?x=1&k=canary%2F7", "POST with k=canary/7"),
        ("https://hooks.example.com/run?x=a8Kq20canary93hG77QpL", "it was a8Kq20canary93hG77QpL"),
        ("amqp://bus:canary-of-bus@broker.example.com", "login with canary-of-bus"),
    ],
)
def test_query_of_an_address_is_a_secret(url: str, echo: str) -> None:
    """A signature or a key stands there, and the target repeats the address."""
    known = KnownSecrets()
    known.configure(secrets_in(HookAddress(url=url)))

    assert "***" in known.hidden(echo)
    assert not {"canary", "XyZ"} & set(re.findall("canary|XyZ", known.hidden(echo)))


@pytest.mark.parametrize(
    "setting",
    [
        "https://erp.example.com/orders?api-version=2016-06-01&region=eu-west-1",
        "https://erp.example.com/orders?key={data.fields.Number__c}",
        "https://erp.example.com/orders?keyField=External_Id2__c&key=accounts&design=eu-west-1",
        "https://erp.example.com/orders?tenant=3f0c7c2e-6a7e-4a53-9d0c-1f3b7c2a9e11",
        "See https://erp.example.com/?key=eu-west-1 for 2016-06-01",
    ],
)
def test_ordinary_words_of_an_address_stay(setting: str) -> None:
    """Receipts must not lose a date or a region, because a request has the same words."""
    known = KnownSecrets()
    known.configure(secrets_in(HookAddress(url=setting)))

    said = (
        "2016-06-01 eu-west-1 {data.fields.Number__c} accounts External_Id2__c "
        "3f0c7c2e-6a7e-4a53-9d0c-1f3b7c2a9e11"
    )
    assert known.hidden(said) == said


def test_errors_hide_what_a_foreign_text_repeats() -> None:
    """Each error of Streamer's own passes here when it is made."""
    KNOWN.renew(TOKEN)

    assert str(SalesforceUnavailable(f"the proxy said {TOKEN}")) == "the proxy said ***"
    assert str(CredentialsRefused(f"the proxy said {quote(TOKEN, safe='')}")) == "the proxy said ***"


def test_log_lines_and_pages_hide_it() -> None:
    """Also in a text that is cut, on either side of the cut."""
    KNOWN.renew(TOKEN)

    assert "canary" not in masked(f"sent {TOKEN}")
    assert "canary" not in masked(f"{TOKEN} {'x' * 500_000} {TOKEN}")


@pytest.mark.parametrize(
    "outcome",
    [
        Delivered(answer={"echo": [{"authorization": f"Bearer {TOKEN}"}], TOKEN: 1}),
        Retry(reason=f"sent {TOKEN}", answer=f"x{TOKEN}"),
        Reject(reason=f"sent {TOKEN}", hint=f"{TOKEN}", answer=f"x{TOKEN}"),
        Hold(reason=f"sent {TOKEN}", after_s=1, answer=f"x{TOKEN}", failure=FailureClass.OTHER),
        # The cut must not leave a half.
        Retry(reason="x" * 1_990 + TOKEN, answer="x" * 19_990 + TOKEN),
        {"no": TOKEN},
    ],
)
def test_outcomes_of_plugins_hide_it(outcome: object) -> None:
    """Letters, receipts and the answer of a test are made of outcomes."""
    KNOWN.renew(TOKEN)

    assert "canary" not in repr(outcome_of(outcome))
    assert "0Qe/" not in repr(outcome_of(outcome))
    assert "canary" not in repr(outcomes_of([outcome], 1))


def test_answer_that_is_cut_for_a_receipt_hides_it() -> None:
    """Its beginning is kept as a text."""
    KNOWN.renew(TOKEN)
    outcome = outcome_of(Delivered(answer={"a": TOKEN, "b": "x" * 30_000}))

    assert isinstance(outcome, Delivered)
    assert "canary" not in repr(kept(outcome.answer))
