"""Requests to Salesforce's REST API, as sent and as previewed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from yarl import URL

from streamer.known_secrets import MASK
from streamer.ports import Preview


@dataclass(frozen=True, slots=True, kw_only=True)
class RestRequest:
    """Request that no token has signed yet.

    `path` is encoded. It begins with `/services/`, or is relative to the API
    version. Without a `body`, none is sent.
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

    Salesforce notes the name of the `client` in the origin of the changes that
    it makes (REST API guide, call options header).
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
        """Return the headers of `request`, save for those that the HTTP client adds."""
        own = {"Authorization": f"Bearer {access_token}", "Content-Type": "application/json"}
        if self.client is not None:
            own["Sforce-Call-Options"] = f"client={self.client}"
        return {**own, **request.headers}

    def preview(self, request: RestRequest, login_url: str) -> Preview:
        """Return `request` as it is sent after a login at `login_url`, which names the host to send it to."""
        path = self.address(request, login_url).raw_path_qs
        return Preview(
            request=f"{request.method} {path}, in {login_url}",
            headers=self.headers(request, MASK),
            content=request.body or b"",
        )


_Item = TypeVar("_Item")


def in_requests(items: Iterable[tuple[int, _Item]], *, most: int, most_bytes: int) -> Iterator[list[_Item]]:
    """Yield the items, each given with its size in bytes, in lists that fit into a request."""
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
