"""The code that docs/protection.md shows."""

import re

import pytest
from pydantic import SecretStr

from streamer.settings import ProtectionSettings, ProtectRule
from tests.integration.guides.pages import page
from tests.unit.protection.rules import fields_of

GUIDE = page("docs/protection.md")


def test_hash_can_be_computed_as_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    """By anyone who has the key."""
    (code,) = re.findall(r"^```python\n(import hashlib.*?)^```", GUIDE, flags=re.DOTALL | re.MULTILINE)
    exec(code, {})  # noqa: S102 - the page's own code
    rule = {"entity": "*", "fields": "Email", "how": "hash", "normalise": ["trim", "lower"]}
    settings = ProtectionSettings.model_construct(key=SecretStr("…"), key_id="2026")

    stored = fields_of(ProtectRule.model_validate(rule), settings=settings, Email=" Ida@ACME.com")
    assert capsys.readouterr().out.strip() == stored["Email"]
