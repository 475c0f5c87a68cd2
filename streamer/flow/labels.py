"""Labels of the org (host, and production or sandbox in words) and of the processes on the pages."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self
from urllib.parse import urlsplit

from streamer.admin.processes.reports import ProcessReports
from streamer.events import record_id_of
from streamer.settings import Settings

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
# These hosts belong to no org.
_LOGIN_HOSTS = frozenset({"login.salesforce.com", "test.salesforce.com"})


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


def record_address(org_url: str, key: object) -> str:
    """Return the address of a record in the org at `org_url`, for a browser.

    The address is empty if `key` is not the id of a record, or if `org_url` is not the
    org's own address.
    """
    record, url = record_id_of(key), urlsplit(org_url)
    if record is None or not any(map(str.isdigit, record)):
        return ""
    if url.scheme not in {"http", "https"} or not url.hostname or url.hostname in _LOGIN_HOSTS:
        return ""
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}/{record}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLabel:
    """Name of this process, and names of the `others` whose shares are in the numbers.

    `is_shared` is true if the log can have further processes. `missing` are sentences
    about processes whose shares are not in the numbers. `consoles` are the addresses of
    other consoles, as far as they are configured.
    """

    name: str = ""
    is_shared: bool = False
    others: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    consoles: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings, reports: ProcessReports) -> Self:
        """Return the label of this process. A log in SQLite has only one process."""
        return cls(
            name=reports.own.name,
            is_shared=settings.log.kafka is not None,
            others=tuple(name for name, _ in reports.answering),
            missing=tuple(reports.missing),
            consoles=settings.admin.console.others if settings.admin else (),
        )

    @property
    def names(self) -> str:
        """Number of the processes, and their names."""
        every = [f"{self.name} (this one)", *self.others]
        return f"{len(every)} {'process' if len(every) == 1 else 'processes'}: {', '.join(every)}"
