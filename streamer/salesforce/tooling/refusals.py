"""Refusals of the Tooling API, with advice for each.

Salesforce's guides name the required permissions and the allocations, but no
error codes. So a refusal is classified by its status, its code and its message,
and Salesforce's own message is always shown.
"""

from http import HTTPStatus

from streamer.errors import Stop
from streamer.salesforce.rest import RequestRefused

_VIEW = "View Setup and Configuration"
_CUSTOMIZE = "Customize Application"
_LIMIT_WORDS = ("limit", "maximum", "exceed", "allocation")


class SetupRefused(Stop):
    """Salesforce refused to show or change the setup of the channels.

    `is_final` is true if Salesforce refuses all other changes for the same reason.
    `found` is true if the object to be created exists already, and `missing` if the
    object to be changed or deleted does not exist.
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
        advice = "check org.api_version, and the user that org.auth logs in as"
    return SetupRefused(f"The channels of the org can't be read: {advice} ({error})", is_final=True)


def refused_change(what: str, error: RequestRefused) -> SetupRefused:
    """Return the error for the refusal to do `what`, such as `create Erp__chn`."""
    if _lacks_permission(error):
        advice = f"give the user of org.auth the permission {_CUSTOMIZE}"
        return SetupRefused(f"can't {what}: {advice} ({error})", is_final=True)
    if error.code.startswith("DUPLICATE"):
        return SetupRefused(f"can't {what}: the object already exists ({error})", found=True)
    if error.status == HTTPStatus.NOT_FOUND or error.code == "ENTITY_IS_DELETED":
        return SetupRefused(f"can't {what}: the object does not exist ({error})", missing=True)
    if "LIMIT" in error.code or any(word in str(error).lower() for word in _LIMIT_WORDS):
        advice = (
            "the org has reached a limit. Without an add-on, an org can select at most 5 entities on "
            "all channels together, and have at most 100 custom channels of each type. Remove an "
            "entity or a channel first, or get the add-on"
        )
        return SetupRefused(f"can't {what}: {advice} ({error})")
    advice = "check the names of the entity, the channel and the fields, and the filter"
    return SetupRefused(f"can't {what}: {advice} ({error})")


def _lacks_permission(error: RequestRefused) -> bool:
    return error.status == HTTPStatus.FORBIDDEN or error.code.startswith(
        ("INSUFFICIENT_ACCESS", "API_DISABLED", "FUNCTIONALITY_NOT_ENABLED")
    )
