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
from streamer.known_secrets import KNOWN, MASK
from streamer.salesforce.auth.flows import check_instance, refusal, safe_address, secrets_of, token_form
from streamer.salesforce.auth.refresh_token_file import RefreshTokenFile
from streamer.salesforce.responses import BodyTooLarge, read_body, time_of
from streamer.settings import Auth, OrgSettings, PasswordAuth, RefreshAuth
from streamer.web.proxy import Proxy, ProxyFailed, proxy_for, send, through
from streamer.web.reasons import connection_reason

_ANSWER_LIMIT = 64 * 1024
_TIMEOUT_S = 30.0
# Visible ASCII, because the token is sent in a header.
_TOKEN = re.compile(r"[!-~]{1,16000}")
_ORG_ID = re.compile(r"[A-Za-z0-9]{18}")
_USER_ID = re.compile(r"[A-Za-z0-9]{15,18}")
_IN_IDENTITY = re.compile(r"/id/([A-Za-z0-9]{18})/([A-Za-z0-9]{15,18})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """Access token with its org, the proxy to the org, and the user if Salesforce named one.

    At the login, Salesforce's clock was `ahead_s` seconds ahead of ours.
    """

    access_token: str = field(repr=False)
    instance_url: str
    org: OrgId
    proxy: Proxy | None
    user: str = ""
    ahead_s: float = field(default=0.0, compare=False)


class Tokens:
    """Holder of one org's access token, shared by all callers.

    It logs in when a caller first needs a token. Salesforce does not announce that
    a token has expired. A caller whose token was refused calls `refreshed`. After
    Salesforce has refused a password, all callers get the same refusal for a
    minute, without another login. After each further refusal, this time is longer.
    The constructor raises `ConfigurationError` if a secret would be sent
    unencrypted.
    """

    def __init__(self, http: aiohttp.ClientSession, org: OrgSettings, clock: Clock) -> None:
        self._http = http
        self._allow_http = org.allow_http
        self._instance_hosts = org.instance_hosts
        self._clock = clock
        self._url = safe_address(org.login_url, named="org.login_url", allow_http=org.allow_http)
        self._proxy_setting = org.proxy.get_secret_value() if org.proxy else None
        self._auth = org.auth
        KNOWN.configure(secrets_of(org.auth))
        self._token: AccessToken | None = None
        self._lock = asyncio.Lock()
        self._attempts = 0
        # A few wrong passwords in a row lock the user's account.
        self._lockout = Delays(Backoff(first_s=60.0, limit_s=300.0))
        self._locked_until = 0.0
        self._failure: StreamerError | None = None
        self._ahead_s = 0.0

    async def token(self) -> AccessToken:
        """Return the current token; log in if there is no token yet.

        Raises `CredentialsRefused` or `ConfigurationError` if an operator must
        act, and `SalesforceUnavailable` if the caller can try again.
        """
        return self._token or await self.refreshed(None)

    async def refreshed(self, stale: AccessToken | None) -> AccessToken:
        """Return a token other than `stale`; concurrent callers share one login and its failure.

        Raises the same errors as `token`.
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

    async def _log_in(self) -> AccessToken:
        auth = self._auth
        answer = await (self._exchanged(auth) if isinstance(auth, RefreshAuth) else self._granted(auth))
        instance_url = safe_address(
            _text(answer, "instance_url"),
            named="instance_url in the answer to the login",
            allow_http=self._allow_http,
        )
        check_instance(instance_url, login_url=self._url, allowed=self._instance_hosts)
        access_token = _text(answer, "access_token")
        if not _TOKEN.fullmatch(access_token):
            raise CredentialsRefused(
                f"{self._url} answered the login with an invalid access_token: check org.login_url"
            )
        org, user = await self._identity(answer, access_token, instance_url)
        proxy = self._proxy(instance_url)
        return AccessToken(
            access_token=access_token,
            instance_url=instance_url,
            org=org,
            proxy=proxy,
            user=user,
            ahead_s=self._ahead_s,
        )

    async def _granted(self, auth: Auth) -> dict[str, Any]:
        """Return the token endpoint's answer, which contains an access token."""
        form = token_form(auth, login_url=self._url, now=self._clock.now())
        KNOWN.renew(form.get("assertion", ""))
        status, answer = await self._ask("POST", f"{self._url}/services/oauth2/token", data=form)
        KNOWN.renew(_text(answer, "access_token"), _text(answer, "refresh_token"))
        if status != HTTPStatus.OK or "access_token" not in answer:
            raise self._refused(status, answer)
        return answer

    async def _exchanged(self, auth: RefreshAuth) -> dict[str, Any]:
        """Log in with the latest refresh token; write its successor to disk before returning the answer."""
        exchange = asyncio.create_task(self._rotated(auth), name="refresh-token")
        try:
            return await asyncio.shield(exchange)
        except asyncio.CancelledError:
            # The token may be used up, so wait for its successor and keep it.
            await asyncio.gather(exchange, return_exceptions=True)
            raise

    async def _rotated(self, auth: RefreshAuth) -> dict[str, Any]:
        former = auth.refresh_token.get_secret_value()
        if auth.token_file is None:
            answer = await self._granted(auth)
            if _text(answer, "refresh_token") not in {"", former}:
                raise ConfigurationError(
                    "Salesforce replaced the refresh token at this login (the org rotates refresh "
                    "tokens), and Streamer has no file in which to keep the new token: issue another "
                    "refresh token, and set org.auth.token_file to a file on storage that all "
                    "processes share; or use the flow jwt or client_credentials, which needs no "
                    "refresh token"
                )
            return answer
        kept = RefreshTokenFile(path=auth.token_file, configured=former, clock=self._clock)
        async with kept.locked():
            current = await kept.current()
            KNOWN.renew(current)
            answer = await self._granted(auth.model_copy(update={"refresh_token": SecretStr(current)}))
            # Keep the token first: the next steps of the login can fail.
            if _text(answer, "refresh_token") not in {"", current}:
                await kept.keep(_text(answer, "refresh_token"))
        return answer

    async def _identity(
        self, answer: dict[str, Any], access_token: str, instance_url: str
    ) -> tuple[OrgId, str]:
        """Return the id of the org and the id of the user, which is empty if Salesforce names no user."""
        found = _IN_IDENTITY.search(_text(answer, "id"))
        if found:
            org, user = OrgId(found[1]), found[2] or ""
        else:
            org, user = await self._identity_of_user(access_token, instance_url)
        if self._token is not None and self._token.org != org:
            raise ConfigurationError(
                f"{self._url} now logs in to org {org} instead of {self._token.org}: restart with a "
                "separate log, because replay ids of one org are not valid in another"
            )
        return org, user

    async def _identity_of_user(self, access_token: str, instance_url: str) -> tuple[OrgId, str]:
        headers = {"Authorization": f"Bearer {access_token}"}
        url = f"{instance_url}/services/oauth2/userinfo"
        status, about = await self._ask("GET", url, headers=headers)
        org, user = _text(about, "organization_id"), _text(about, "user_id")
        if status != HTTPStatus.OK or not _ORG_ID.fullmatch(org):
            raise CredentialsRefused(
                f"the answer of {url} does not name the org: give the app the scope 'openid' or 'id'"
            )
        return OrgId(org), user if _USER_ID.fullmatch(user) else ""

    def _proxy(self, url: str) -> Proxy | None:
        return proxy_for(URL(url), setting=self._proxy_setting, key="org.proxy")

    async def _ask(self, method: str, url: str, **options: Any) -> tuple[int, dict[str, Any]]:
        proxy = self._proxy(url)
        try:
            async with (
                self._clock.timeout(_TIMEOUT_S),
                # A redirect would send our secrets to an address that is not configured.
                await send(self._http, method, url, proxy=proxy, **options) as response,
            ):
                body = await read_body(response, self._clock, limit=_ANSWER_LIMIT, idle_s=_TIMEOUT_S)
                if (stated := time_of(response)) is not None:
                    self._ahead_s = stated - self._clock.now()
                return response.status, _object(body)
        except ProxyFailed as exc:
            raise SalesforceUnavailable(f"{url} can't be reached: {exc}") from exc
        except TimeoutError as exc:
            raise SalesforceUnavailable(
                f"{url} did not answer within {_TIMEOUT_S:.0f} s{through(proxy)}"
            ) from exc
        except (aiohttp.ClientError, OSError, BodyTooLarge) as exc:
            raise SalesforceUnavailable(
                f"{url} can't be reached{through(proxy)} ({connection_reason(exc)}): check org.login_url"
            ) from exc

    def _refused(self, status: int, answer: dict[str, Any]) -> StreamerError:
        code, description = (
            self._without_secrets(_text(answer, key)) for key in ("error", "error_description")
        )
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            return SalesforceUnavailable(f"{self._url} answered the login with HTTP {status}")
        if not code:
            return CredentialsRefused(
                f"{self._url} answered the login with HTTP {status} and no token: check org.login_url"
            )
        return refusal(code, description, login_url=self._url)

    def _without_secrets(self, text: str) -> str:
        # Unlike `KNOWN`, this also hides short secrets.
        for secret in filter(None, secrets_of(self._auth)):
            text = text.replace(secret, MASK)
        return " ".join(KNOWN.hidden(text).split())[:200]


def _object(body: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _text(answer: dict[str, Any], key: str) -> str:
    value = answer.get(key)
    return value if isinstance(value, str) else ""
