"""Refusals of a start that are known without any connection."""

from collections.abc import Iterator

from streamer.clock import Clock
from streamer.configuration import Document, Draft, Keys
from streamer.errors import ConfigurationError, StreamerError
from streamer.salesforce.auth.flows import safe_address, token_form
from streamer.settings import JwtAuth, OrgSettings


def refusals(draft: Draft, document: Document, clock: Clock) -> Iterator[str]:
    """Yield a message for each sound part of `draft` that a start would refuse all the same."""
    org = draft.settings.org
    if draft.is_sound("org", "login_url") and draft.is_sound("org", "allow_http"):
        yield from _refused_address(org, document)
    if draft.is_sound("org", "auth"):
        yield from _refused_key(org, document, clock)


def _refused_address(org: OrgSettings, document: Document) -> Iterator[str]:
    try:
        safe_address(org.login_url, named="org.login_url", allow_http=org.allow_http)
    except ConfigurationError as error:
        yield _line(document, ("org", "login_url"), error)


def _refused_key(org: OrgSettings, document: Document, clock: Clock) -> Iterator[str]:
    if not isinstance(org.auth, JwtAuth):
        return
    try:
        token_form(org.auth, login_url=org.login_url, now=clock.now())
    except ConfigurationError as error:
        yield _line(document, ("org", "auth", "key"), error)


def _line(document: Document, keys: Keys, error: StreamerError) -> str:
    """Return the sentence of `error`, which begins with the key, with the place of the key."""
    return document.mistake(keys, str(error).removeprefix(".".join(map(str, keys))).strip())
