"""Refusals of the Tooling API, with advice for each.

Salesforce's guides name the permissions and the allocations, but no codes of
their refusals. So a refusal is read by its status, its code and its words, and
its own words are always shown.
"""

from http import HTTPStatus

from streamer.errors import Stop
from streamer.salesforce.rest import RequestRefused

_VIEW = "View Setup and Configuration"
_CUSTOMIZE = "Customize Application"
_LIMIT_WORDS = ("limit", "maximum", "exceed", "allocation")


class SetupRefused(Stop):
    """Salesforce refused to show or to change the setup of the channels.

    `is_final` is true when it would refuse every other change as well. `found`
    is true when what was to be created exists, and `missing` when what was to be
    changed or deleted does not.
    """

    def __init__(
        self, message: str, *, is_final: bool = False, found: bool = False, missing: bool = False
    ) -> None:
        super().__init__(message)
        self.is_final = is_final
        self.found = found
        self.missing = missing


def refused_reading(error: RequestRefused) -> SetupRefused:
    """Return the error for a refused query."""
    if _lacks_permission(error) or error.code in {"INVALID_TYPE", "NOT_FOUND"}:
        advice = (
            f"give the user of org.auth the permission {_VIEW}, and set org.api_version to 47.0 or later; "
            "Change Data Capture must be part of the org's edition"
        )
    else:
        advice = "check org.api_version, and the user of org.auth"
    return SetupRefused(f"The org does not show its channels: {advice} ({error})", is_final=True)


def refused_change(what: str, error: RequestRefused) -> SetupRefused:
    """Return the error for the refusal to do `what`, such as `create Erp__chn`."""
    if _lacks_permission(error):
        advice = f"give the user of org.auth the permission {_CUSTOMIZE}"
        return SetupRefused(f"can't {what}: {advice} ({error})", is_final=True)
    if error.code.startswith("DUPLICATE"):
        return SetupRefused(f"can't {what}: it exists already ({error})", found=True)
    if error.status == HTTPStatus.NOT_FOUND or error.code == "ENTITY_IS_DELETED":
        return SetupRefused(f"can't {what}: there is none ({error})", missing=True)
    if "LIMIT" in error.code or any(word in str(error).lower() for word in _LIMIT_WORDS):
        advice = (
            "the org's allocation is used up. Without an add-on an org selects 5 entities on all channels "
            "together, and has 100 custom channels of each type. Remove another one first, or get the add-on"
        )
        return SetupRefused(f"can't {what}: {advice} ({error})")
    advice = "check the names of the entity, the channel and the fields, and the filter"
    return SetupRefused(f"can't {what}: {advice} ({error})")


def _lacks_permission(error: RequestRefused) -> bool:
    return error.status == HTTPStatus.FORBIDDEN or error.code.startswith(
        ("INSUFFICIENT_ACCESS", "API_DISABLED", "FUNCTIONALITY_NOT_ENABLED")
    )
