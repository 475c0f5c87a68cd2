"""Requests to Salesforce's REST API, and their previews."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from yarl import URL

from streamer.known_secrets import MASK
from streamer.ports import Preview


@dataclass(frozen=True, slots=True, kw_only=True)
class RestRequest:
    """Request without a token.

    `path` is already URL-encoded. It starts with `/services/`, or is relative to
    the API version. If `body` is `None`, no body is sent.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestOptions:
    """Options that all requests to one org share.

    Salesforce adds the name of the `client` to the origin of each change that
    the client makes (REST API guide, call options header).
    """

    api_version: str = "64.0"
    client: str | None = None

    def address(self, request: RestRequest, org_url: str) -> URL:
        """Return the address of `request` in the org at `org_url`."""
        path = request.path
        if not path.startswith("/services/"):
            path = f"/services/data/v{self.api_version}/{path}"
        return URL(org_url + path).extend_query(request.query)

    def headers(self, request: RestRequest, access_token: str) -> dict[str, str]:
        """Return the headers of `request`, without those that the HTTP client adds."""
        own = {"Authorization": f"Bearer {access_token}", "Content-Type": "application/json"}
        if self.client is not None:
            own["Sforce-Call-Options"] = f"client={self.client}"
        return {**own, **request.headers}

    def preview(self, request: RestRequest, login_url: str) -> Preview:
        """Return a preview of `request`. It shows `login_url`, because only a login names the org's host."""
        path = self.address(request, login_url).raw_path_qs
        return Preview(
            request=f"{request.method} {path}, in {login_url}",
            headers=self.headers(request, MASK),
            content=request.body or b"",
        )


_Item = TypeVar("_Item")


def in_requests(items: Iterable[tuple[int, _Item]], *, most: int, most_bytes: int) -> Iterator[list[_Item]]:
    """Yield lists of the items that fit into a request; each given item comes with its size in bytes."""
    request: list[_Item] = []
    filled = 0
    for size, item in items:
        if request and (len(request) == most or filled + size > most_bytes):
            yield request
            request, filled = [], 0
        request.append(item)
        filled += size
    if request:
        yield request
