"""Access tokens of one org: login and renewal."""

import asyncio
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson
from pydantic import SecretStr
from yarl import URL

from streamer.backoff import Backoff, Delays
from streamer.clock import Clock
from streamer.errors import (
    ConfigurationError,
    CredentialsRefused,
    SalesforceUnavailable,
    StreamerError,
)
from streamer.events import OrgId
from streamer.known_secrets import KNOWN
from streamer.salesforce.auth.addresses import check_instance, safe_address
from streamer.salesforce.auth.flows import secrets_of, token_form
from streamer.salesforce.auth.refusals import refusal
from streamer.salesforce.body import BodyTooLarge, read_body
from streamer.settings import Auth, OrgSettings, PasswordAuth, RefreshAuth
from streamer.web.proxy import Proxy, ProxyFailed, proxy_for, send, through

_ANSWER_LIMIT = 64 * 1024
_TIMEOUT_S = 30.0
# Visible ASCII, because it goes into a header.
_TOKEN = re.compile(r"[!-~]{1,16000}")
_ORG_ID = re.compile(r"[A-Za-z0-9]{18}")
_USER_ID = re.compile(r"[A-Za-z0-9]{15,18}")
_IN_IDENTITY = re.compile(r"/id/([A-Za-z0-9]{18})/([A-Za-z0-9]{15,18})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Access token, the org that it opens, the proxy to that org, and the user, if the login named one."""

    access_token: str = field(repr=False)
    instance_url: str
    org: OrgId
    proxy: Proxy | None
    user: str = ""


class Tokens:
    """Holder of one org's access token, shared by all callers.

    It logs in when a token is first needed. Salesforce does not announce the
    end of a token: a caller whose token is refused asks for a renewed one.
    After a refused password the refusal stands for a minute, and then longer.
    The constructor raises `ConfigurationError` when a secret would travel in
    the clear.
    """

    def __init__(self, http: aiohttp.ClientSession, org: OrgSettings, clock: Clock) -> None:
        self._http = http
        self._allow_http = org.allow_http
        self._instance_hosts = org.instance_hosts
        self._clock = clock
        self._url = safe_address(org.login_url, named="org.login_url", allow_http=org.allow_http)
        self._proxy_setting = org.proxy.get_secret_value() if org.proxy else None
        self._auth: Auth = org.auth
        KNOWN.configure(secrets_of(org.auth))
        self._token: Token | None = None
        self._lock = asyncio.Lock()
        self._attempts = 0
        # A few wrong passwords in a row lock the user's account.
        self._lockout = Delays(Backoff(first_s=60.0, limit_s=300.0))
        self._locked_until = 0.0
        self._failure: StreamerError | None = None

    async def token(self) -> Token:
        """Return the current token; log in when there is none yet.

        Raises `CredentialsRefused` or `ConfigurationError` when an operator
        must act, and `SalesforceUnavailable` when the caller can try again.
        """
        return self._token or await self.refreshed(None)

    async def refreshed(self, stale: Token | None) -> Token:
        """Return a token other than `stale`; many callers at once share one login and its failure.

        Raises as `token` does.
        """
        attempts = self._attempts
        async with self._lock:
            if self._token is not None and self._token != stale:
                return self._token
            is_locked = self._clock.monotonic() < self._locked_until
            if self._failure is not None and (is_locked or self._attempts != attempts):
                raise self._failure
            self._failure = None
            try:
                token = await self._log_in()
            except StreamerError as failure:
                self._failure = failure
                if isinstance(failure, CredentialsRefused) and isinstance(self._auth, PasswordAuth):
                    self._locked_until = self._clock.monotonic() + self._lockout.next_s()
                raise
            finally:
                self._attempts += 1
            self._token = token
            self._lockout.reset()
            return token

    async def _log_in(self) -> Token:
        form = token_form(self._auth, login_url=self._url, now=self._clock.now())
        KNOWN.renew(form.get("assertion", ""))
        status, answer = await self._ask("POST", f"{self._url}/services/oauth2/token", data=form)
        KNOWN.renew(_text(answer, "access_token"), _text(answer, "refresh_token"))
        if status != HTTPStatus.OK or "access_token" not in answer:
            raise self._refused(status, answer)
        if isinstance(self._auth, RefreshAuth) and _text(answer, "refresh_token"):
            # With token rotation the former refresh token is used up.
            rotated = {"refresh_token": SecretStr(_text(answer, "refresh_token"))}
            self._auth = self._auth.model_copy(update=rotated)
        instance_url = safe_address(
            _text(answer, "instance_url"),
            named="instance_url in the answer to the login",
            allow_http=self._allow_http,
        )
        check_instance(instance_url, login_url=self._url, allowed=self._instance_hosts)
        access_token = _text(answer, "access_token")
        if not _TOKEN.fullmatch(access_token):
            raise CredentialsRefused(
                f"{self._url} answered the login with an access_token that is none: check org.login_url"
            )
        org, user = await self._identity(answer, access_token, instance_url)
        proxy = self._proxy(instance_url)
        return Token(access_token=access_token, instance_url=instance_url, org=org, proxy=proxy, user=user)

    async def _identity(
        self, answer: dict[str, Any], access_token: str, instance_url: str
    ) -> tuple[OrgId, str]:
        """Return the ids of the org and of the user, which is empty where Salesforce does not tell it."""
        found = _IN_IDENTITY.search(_text(answer, "id"))
        if found:
            org, user = OrgId(found[1]), found[2] or ""
        else:
            org, user = await self._identity_of_user(access_token, instance_url)
        if self._token is not None and self._token.org != org:
            raise ConfigurationError(
                f"{self._url} now logs in to org {org} instead of {self._token.org}: "
                "positions of one org mean nothing in another, so restart with a log of its own"
            )
        return org, user

    async def _identity_of_user(self, access_token: str, instance_url: str) -> tuple[OrgId, str]:
        headers = {"Authorization": f"Bearer {access_token}"}
        url = f"{instance_url}/services/oauth2/userinfo"
        status, about = await self._ask("GET", url, headers=headers)
        org, user = _text(about, "organization_id"), _text(about, "user_id")
        if status != HTTPStatus.OK or not _ORG_ID.fullmatch(org):
            raise CredentialsRefused(f"{url} did not name the org: give the app the scope 'openid' or 'id'")
        return OrgId(org), user if _USER_ID.fullmatch(user) else ""

    def _proxy(self, url: str) -> Proxy | None:
        return proxy_for(URL(url), setting=self._proxy_setting, key="org.proxy")

    async def _ask(self, method: str, url: str, **options: Any) -> tuple[int, dict[str, Any]]:
        proxy = self._proxy(url)
        try:
            async with (
                self._clock.timeout(_TIMEOUT_S),
                # A redirect would carry our secrets to an address that is not configured.
                await send(self._http, method, url, proxy=proxy, **options) as response,
            ):
                body = await read_body(response, self._clock, limit=_ANSWER_LIMIT, idle_s=_TIMEOUT_S)
                return response.status, _object(body)
        except ProxyFailed as exc:
            raise SalesforceUnavailable(f"{url} can't be reached: {exc}") from exc
        except TimeoutError as exc:
            raise SalesforceUnavailable(
                f"{url} did not answer within {_TIMEOUT_S:.0f} s{through(proxy)}"
            ) from exc
        except (aiohttp.ClientError, OSError, BodyTooLarge) as exc:
            raise SalesforceUnavailable(
                f"{url} can't be reached{through(proxy)} ({exc}): check org.login_url"
            ) from exc

    def _refused(self, status: int, answer: dict[str, Any]) -> StreamerError:
        code, description = (
            _bounded(KNOWN.hidden(_text(answer, key))) for key in ("error", "error_description")
        )
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            return SalesforceUnavailable(f"{self._url} answered the login with HTTP {status}")
        if not code:
            return CredentialsRefused(
                f"{self._url} answered the login with HTTP {status} and no token: check org.login_url"
            )
        return refusal(code, description, login_url=self._url)


def _bounded(text: str) -> str:
    return " ".join(text.split())[:200]


def _object(body: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _text(answer: dict[str, Any], key: str) -> str:
    value = answer.get(key)
    return value if isinstance(value, str) else ""
