"""Addresses to which a secret may be sent."""

import pytest

from streamer.errors import ConfigurationError
from streamer.salesforce.auth.flows import check_instance, safe_address


@pytest.mark.parametrize(
    "url",
    [
        "http://acme.example",
        "http://127.0.0.1.evil.example",
        "ftp://localhost",
        "https://",
        "https://u:p@x.y",
        "",
    ],
)
def test_address_where_a_secret_could_be_read_is_refused(url: str) -> None:
    """Only https and this machine get to see a secret."""
    with pytest.raises(ConfigurationError, match=r"org\.login_url"):
        safe_address(url, named="org.login_url", allow_http=False)


@pytest.mark.parametrize(
    "url",
    [
        "https://acme.my.salesforce.com/",
        "http://localhost:8080",
        "http://LOCALHOST",
        "http://127.0.0.9:1",
        "http://[::1]:80",
    ],
)
def test_safe_addresses_are_accepted(url: str) -> None:
    """Loopback needs no TLS."""
    assert safe_address(url, named="org.login_url", allow_http=False) == url.rstrip("/")


def test_plain_http_is_accepted_where_someone_allowed_it_by_name() -> None:
    """A trusted network is the operator's decision."""
    assert safe_address("http://sf.test:8080", named="org.login_url", allow_http=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://acme.my.salesforce.com:99999",
        "http://[::1",
        "https://acme.my.salesforce.com\r\nX-Evil: 1",
        "https://acme.my.salesforce.com\\@evil.com",
        "https://acme.my.salesforce.com:x",
        "https://acme.my.salesforce.com#evil",
        "https:// acme.com",
        "https://" + "a" * 3000 + ".com",
        "",
    ],
)
def test_address_that_is_none_is_one_sentence(url: str) -> None:
    """It comes from the answer to a login, and can hold anything."""
    with pytest.raises(ConfigurationError, match="must be an address such as"):
        safe_address(url, named="instance_url", allow_http=True)


@pytest.mark.parametrize(
    ("login", "instance"),
    [
        ("https://login.salesforce.com", "https://acme.my.salesforce.com"),
        ("https://acme.my.salesforce.com", "https://acme.my.salesforce.com"),
        ("https://sf.acme.co.uk", "https://org.acme.co.uk"),
        ("http://localhost:8080", "http://127.0.0.1:9090"),
        ("https://10.0.0.1", "https://10.0.0.1:8443"),
    ],
)
def test_instance_on_the_site_of_the_login_is_accepted(login: str, instance: str) -> None:
    """Salesforce logs in at one host and serves at another."""
    check_instance(instance, login_url=login, allowed=())


@pytest.mark.parametrize(
    ("login", "instance"),
    [
        ("https://login.salesforce.com", "https://salesforce.com.evil.com"),
        ("https://login.salesforce.com", "https://evilsalesforce.com"),
        ("https://sf.acme.co.uk", "https://evil.co.uk"),
        ("https://acme.info.pl", "https://evil.info.pl"),
        ("https://acme.github.io", "https://evil.github.io"),
        ("https://acme.com.br", "https://evil.com.br"),
        ("https://co.uk", "https://evil.co.uk"),
        ("https://10.0.0.1", "https://10.9.0.1"),
        ("https://login.salesforce.com", "https://127.0.0.1"),
    ],
)
def test_instance_on_another_site_is_refused(login: str, instance: str) -> None:
    """Every request carries the token there."""
    with pytest.raises(ConfigurationError, match=r"org\.instance_hosts"):
        check_instance(instance, login_url=login, allowed=())


def test_instance_that_the_operator_has_named_is_accepted() -> None:
    """A gateway can stand in front of the login alone."""
    check_instance(
        "https://acme.my.salesforce.com",
        login_url="https://gateway.acme.com",
        allowed={"acme.my.salesforce.com"},
    )
