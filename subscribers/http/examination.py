"""Examination of an HTTP target by a request that changes nothing."""

from collections.abc import Mapping

from yarl import URL

from streamer.ports import TargetReport
from subscribers.http.answer import Answer
from subscribers.http.auth import Auth, NoAuth, OAuth2Auth

METHOD = "OPTIONS"
"""Method that changes nothing (RFC 9110, sections 9.2.1 and 9.3.7)."""

_UNAUTHORIZED = 401
_REDIRECTIONS = range(300, 400)
# A gateway whose server is down answers with these; a server without OPTIONS can answer 500 or 501.
_AWAY = range(502, 505)


def address_of(urls: Mapping[str, str]) -> URL | None:
    """Return the part of a target's first URL before any placeholder; return `None` without URLs."""
    written = next(iter(urls.values()), None)
    if written is None:
        return None
    fixed, brace, _ = written.partition("{")
    # The last segment or parameter is incomplete, so it is removed.
    return URL(f"{fixed.partition('?')[0].rpartition('/')[0]}/" if brace else written)


def judged(answer: Answer, url: URL, auth: Auth) -> TargetReport:
    """Return what `answer` shows about the server of `url` and the credentials."""
    where = f"{url.host}:{url.port}"
    said = f"{where} answers {answer.status_line} to {METHOD}"
    if answer.status == _UNAUTHORIZED:
        remedy = "check auth in the subscriber's settings"
        return TargetReport(is_well=False, found=f"{where} refuses the credentials ({said})", remedy=remedy)
    if answer.status in _REDIRECTIONS:
        remedy = (
            "set url to the address to which the target redirects, because deliveries do not follow redirects"
        )
        return TargetReport(is_well=False, found=said, remedy=remedy)
    if answer.status in _AWAY:
        return TargetReport(
            is_well=False,
            found=said,
            remedy="start the target again: its gateway answers, but the target is down",
        )
    return TargetReport(is_well=True, found=f"{said}{_of_credentials(auth)}")


def _of_credentials(auth: Auth) -> str:
    match auth:
        case NoAuth():
            return ""
        case OAuth2Auth():
            return ", and the token endpoint gave a token"
        case _:
            return "; only the first delivery shows whether the target accepts the credentials"
