"""Proxy that the configuration or the environment names."""

from base64 import b64encode
from collections.abc import Iterator

import pytest
from yarl import URL

from streamer.errors import ConfigurationError
from streamer.web.proxy import Proxy, _proxy_of, is_proxy_setting, proxy_for

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

    assert proxy_for(_ORG) == Proxy.at("http://ann:secret@proxy.acme.com:3128", named_by="HTTPS_PROXY")
    assert proxy_for(URL("http://localhost:8080")) is None


def test_exceptions_are_reached_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Domains with their subdomains, as elsewhere."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.acme.com:3128")
    monkeypatch.setenv("NO_PROXY", "localhost,.salesforce.com")

    assert proxy_for(_ORG) is None


def test_setting_counts_more_than_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exceptions included; `direct` names no proxy."""
    monkeypatch.setenv("HTTPS_PROXY", "http://other.acme.com:3128")
    monkeypatch.setenv("NO_PROXY", "*")
    proxy = proxy_for(_ORG, setting="http://proxy.acme.com:3128", key="org.proxy")

    assert proxy is not None
    assert proxy.address == "proxy.acme.com:3128"
    assert proxy_for(_ORG, setting="direct", key="org.proxy") is None


def test_credentials_are_decoded_and_not_shown() -> None:
    """No part of the proxy that a message can show has them."""
    proxy = Proxy.at("http://ann:p%40ss@[::1]:3128/", named_by="org.proxy")

    assert proxy.authorization == f"Basic {b64encode(b'ann:p@ss').decode()}"
    assert proxy.address == "[::1]:3128"
    assert "ann" not in repr(proxy)


def test_environment_that_names_no_address_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told without the value, which can hold a password."""
    monkeypatch.setenv("HTTPS_PROXY", "ann:secret@proxy.acme.com:3128")

    with pytest.raises(ConfigurationError, match=r"^HTTPS_PROXY must be .* http://host:port$"):
        proxy_for(_ORG)


@pytest.mark.parametrize(
    ("setting", "is_one"),
    [
        ("direct", True),
        ("http://proxy.acme.com:3128", True),
        ("http://proxy.acme.com:3128/", True),
        ("http://ann:p%40ss@10.0.0.1:3128", True),
        ("http://ann:p@10.0.0.1:3128", True),
        ("http://[::1]:3128", True),
        ("", False),
        ("none", False),
        ("proxy.acme.com:3128", False),
        ("https://proxy.acme.com:3128", False),
        ("socks5://proxy.acme.com:1080", False),
        ("http://proxy.acme.com", False),
        ("http://proxy.acme.com:0", False),
        ("http://proxy.acme.com:65536", False),
        ("http://proxy.acme.com:port", False),
        ("http://proxy.acme.com:3128/path", False),
        ("http://ann:%E2%82%AC@proxy.acme.com:3128", True),
        ("http://:3128", False),
        ("http://a b:3128", False),
    ],
)
def test_setting_has_one_form(setting: str, is_one: bool) -> None:  # noqa: FBT001 - the expected answer
    """A scheme, a host and a port, with or without a user and a password."""
    assert is_proxy_setting(setting) is is_one
