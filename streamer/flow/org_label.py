"""Label of the org that a daemon reads: the org's host, and production or sandbox in words."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self
from urllib.parse import urlsplit

_SALESFORCE = re.compile(r"(?:^|\.)(?:salesforce\.(?:com|mil)|force\.com|sfcrmproducts\.cn)$")
# https://help.salesforce.com: "My Domain URL formats", with and without enhanced domains.
_SANDBOX = re.compile(r"^test\.|--[^.]+\.|\.sandbox\.|^cs\d+\.")
_KINDS = {
    ".scratch.": "scratch org",
    ".develop.": "developer org",
    ".trailblaze.": "Trailhead playground",
    ".demo.": "demo org",
    ".free.": "free org",
    ".patch.": "patch org",
}
_PRODUCTION = "production"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgLabel:
    """Host of an org, and the `kind` of the org in words."""

    host: str
    kind: str

    @classmethod
    def of(cls, url: str) -> Self:
        """Return the label of the org at `url`, the org's own address or the address of its login."""
        host = urlsplit(url).hostname or ""
        if _SALESFORCE.search(host):
            return cls(host=host, kind=_kind(host))
        kind = "local sandbox" if _is_loopback(host) else "not a Salesforce host"
        return cls(host=urlsplit(url).netloc, kind=kind)

    @property
    def is_production(self) -> bool:
        """True if a change in this org can affect a business."""
        return self.kind == _PRODUCTION


def _kind(host: str) -> str:
    if _SANDBOX.search(host):
        return "sandbox"
    return next((kind for part, kind in _KINDS.items() if part in host), _PRODUCTION)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
