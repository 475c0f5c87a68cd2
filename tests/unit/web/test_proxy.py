"""Proxy that the environment names."""

from collections.abc import Iterator

import pytest
from yarl import URL

from streamer.web.proxy import _proxy_of, proxy_for

_ORG = URL("https://acme.my.salesforce.com/cometd/62.0")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Remove what the machine of the test has set."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    _proxy_of.cache_clear()
    yield
    _proxy_of.cache_clear()


def test_proxy_of_the_scheme_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox is plain HTTP, and an org is not."""
    monkeypatch.setenv("HTTPS_PROXY", "http://ann:secret@proxy.acme.com:3128")

    assert proxy_for(_ORG) == URL("http://ann:secret@proxy.acme.com:3128")
    assert proxy_for(URL("http://localhost:8080")) is None


def test_exceptions_are_reached_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Domains with their subdomains, as elsewhere."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.acme.com:3128")
    monkeypatch.setenv("NO_PROXY", "localhost,.salesforce.com")

    assert proxy_for(_ORG) is None
