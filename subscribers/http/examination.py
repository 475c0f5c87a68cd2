"""Examination of an HTTP target: a request that changes nothing, and what its answer proves."""

from collections.abc import Mapping

from yarl import URL

from streamer.ports import TargetReport
from subscribers.http.answer import Answer
from subscribers.http.auth import Auth, NoAuth, OAuth2Auth

METHOD = "OPTIONS"
"""Method that asks for nothing and changes nothing (RFC 9110, sections 9.2.1 and 9.3.7)."""

_UNAUTHORIZED = 401
_REDIRECTIONS = range(300, 400)
# Of a gateway whose server is away; a server without OPTIONS can answer 500 or 501.
_AWAY = range(502, 505)


def address_of(urls: Mapping[str, str]) -> URL | None:
    """Return the first of a target's `urls`, up to its first placeholder; `None` without any."""
    written = next(iter(urls.values()), None)
    if written is None:
        return None
    fixed, brace, _ = written.partition("{")
    # Half a segment or parameter names nothing.
    return URL(f"{fixed.partition('?')[0].rpartition('/')[0]}/" if brace else written)


def judged(answer: Answer, url: URL, auth: Auth) -> TargetReport:
    """Return what `answer` to the request proves about the server of `url` and the credentials."""
    where = f"{url.host}:{url.port}"
    said = f"{where} answers {answer.status_line} to {METHOD}"
    if answer.status == _UNAUTHORIZED:
        remedy = "check auth in the subscriber's settings"
        return TargetReport(is_well=False, found=f"{where} refuses the credentials ({said})", remedy=remedy)
    if answer.status in _REDIRECTIONS:
        remedy = "set url to the address that it redirects to: deliveries follow no redirection"
        return TargetReport(is_well=False, found=said, remedy=remedy)
    if answer.status in _AWAY:
        return TargetReport(is_well=False, found=said, remedy="look at the target, which is away")
    return TargetReport(is_well=True, found=f"{said}{_of_credentials(auth)}")


def _of_credentials(auth: Auth) -> str:
    match auth:
        case NoAuth():
            return ""
        case OAuth2Auth():
            return ", and the token endpoint gave a token"
        case _:
            return "; whether it takes the credentials shows at the first delivery"
