"""The treatments of a value: absent, masked or hashed."""

import hashlib
import hmac
from typing import Any

import pytest

from streamer.protection import Rules
from streamer.settings import ProtectionSettings
from tests.unit.protection.rules import KEY, fields_of, rule


def hashed(text: str) -> str:
    """Return the hash of `text` as the documentation describes it."""
    return "k1:" + hmac.new(KEY.encode(), text.encode(), hashlib.sha256).hexdigest()


def treated(value: Any, how: str, **options: Any) -> Any:
    """Return what stands for `value`; absent if nothing does."""
    return fields_of(rule(how, "It", **options), It=value).get("It", "absent")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ida@acme.com", "ida@acme.com"),
        (" Ida ", " Ida "),
        ("", ""),
        (12, "12"),
        (12.0, "12"),
        (-0.0, "0"),
        (12.50, "12.5"),
        (1e-7, "0.0000001"),
        (1e22, "10000000000000000000000"),
        (1e23, "100000000000000000000000"),
        (-1.5e300, "-15" + 299 * "0"),
        (2.0**60, "1152921504606846976"),
        (2**60, "1152921504606846976"),
        (float("inf"), "Infinity"),
        (True, "true"),
    ],
)
def test_hash_is_that_of_the_value_as_text(value: Any, text: str) -> None:
    """Anyone who has the key can compute it, and one transport's 12.0 is the other's 12."""
    assert treated(value, "hash") == hashed(text)


def test_hash_is_normalised_where_the_rule_says() -> None:
    """So that people who write one address in two ways are one person."""
    assert treated(" Ida@ACME.com ", "hash", normalise=["lower", "trim"]) == hashed("ida@acme.com")
    assert treated(" Ida@ACME.com ", "hash", normalise="trim") == hashed("Ida@ACME.com")


@pytest.mark.parametrize("how", ["hash", "mask"])
def test_null_stays_null(how: str) -> None:
    """A cleared field is told from a changed one."""
    assert treated(None, how) is None


@pytest.mark.parametrize(
    ("value", "options", "shown"),
    [
        ("4111111111111111", {}, "***"),
        ("4111111111111111", {"text": "hidden"}, "hidden"),
        ("4111111111111234", {"keep_last": 4}, "***1234"),
        ("12345678", {"keep_last": 4}, "***5678"),
        ("1234567", {"keep_last": 4}, "***"),
        ("4111111111111234", {"keep_last": 4, "keep_length": True}, "************1234"),
        ("1234567", {"keep_last": 4, "keep_length": True}, "*******"),
        (4_111_234, {"keep_last": 2}, "***34"),
        (True, {}, "***"),
    ],
)
def test_mask_shows_no_more_than_it_says(value: Any, options: dict[str, Any], shown: str) -> None:
    """Neither the length nor most of a short value."""
    assert treated(value, "mask", **options) == shown


@pytest.mark.parametrize("value", ["ida@acme.com", None, 0, {"a": 1}, [1], [], {}])
def test_dropped_field_is_absent(value: Any) -> None:
    """Whatever it held."""
    assert treated(value, "drop") == "absent"


def test_id_of_the_key_follows_from_the_key() -> None:
    """Hashes of another key begin otherwise, without a setting that someone could forget to change."""
    ids = set()
    for key in (KEY, KEY[::-1]):
        rules = Rules([rule("hash", "It")], ProtectionSettings.model_validate({"key": key}))
        of_type = rules.of("salesforce.cdc.Contact.updated")
        assert of_type is not None
        ids.add(of_type.of("It")("x").partition(":")[0])  # type: ignore[operator] # a hash

    assert len(ids) == 2
    assert all(len(each) == 8 for each in ids)
