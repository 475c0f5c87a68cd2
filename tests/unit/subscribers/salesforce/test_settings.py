"""Settings choose one operation, and name its mistakes."""

from typing import Any

import pytest
from pydantic import ValidationError

from subscribers.salesforce.settings import SalesforceSettings


def settings(**given: Any) -> SalesforceSettings:
    """Return the settings."""
    return SalesforceSettings.model_validate(given)


@pytest.mark.parametrize(
    ("given", "mistake"),
    [
        ({}, "must have exactly one of event, update, upsert, create, delete, call; found none"),
        ({"update": "Account", "delete": "Account"}, "found update and delete"),
        ({"update": "Account/../x"}, "String should match pattern"),
        ({"upsert": {"sobject": "Account"}}, "external_id"),
        ({"call": {}}, "must have either rest or soap"),
        ({"call": {"rest": "/a", "soap": "A", "method": "POST"}}, "must have either rest or soap"),
        ({"call": {"rest": "/a", "method": "HEAD"}}, "method must be GET, POST, PUT, PATCH or DELETE"),
        ({"call": {"rest": "/a", "method": "GET", "wait": False}}, "wait: false needs a method with a body"),
        ({"call": {"soap": "Invoices"}}, "method is missing"),
        ({"call": {"soap": "a/b/c", "method": "m"}}, "String should match pattern"),
        *(
            ({"call": {"rest": path}}, "must be a path without")
            for path in ("/a/../b", "..", "/a/%2e%2E/b", "/a?b=c", "/a b", "", "/a/{b c}", "/a/./b")
        ),
    ],
)
def test_mistake_is_named(given: dict[str, Any], mistake: str) -> None:
    """Before anything connects."""
    with pytest.raises(ValidationError, match=mistake):
        settings(**given)


@pytest.mark.parametrize("path", ["a", "/a", "/a/{Id}/b.c", "/{Id}", "/a%20b/", "/a..b"])
def test_path_is_taken(path: str) -> None:
    """With its placeholders."""
    call = settings(call={"rest": path}).call
    assert call is not None
    assert call.rest == path.removeprefix("/")
    assert call.path({"Id": "7"}) == path.removeprefix("/").replace("{Id}", "7")
