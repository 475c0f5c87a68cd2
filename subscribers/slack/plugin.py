"""Implementation of the Slack plugin."""

from dataclasses import replace

from yarl import URL

from streamer.events import Delivered, Delivery, FailureClass, Hold, JsonObject, Outcome, Reject
from streamer.ports import PluginContext, TargetReport
from subscribers.http import Answer, HttpTarget, Request, RequestSubscriber
from subscribers.slack.answers import explained
from subscribers.slack.channel_rate import ChannelRate
from subscribers.slack.message import message
from subscribers.slack.settings import SlackSettings

# A delivery that would wait longer than this becomes a hold instead, so that no delivery
# exceeds the time limit of dispatch.
_MAX_WAIT_S = 5.0


class Slack(RequestSubscriber):
    """Posts one message for each event, by an incoming webhook or by chat.postMessage.

    With chat.postMessage, the receipt keeps the message's `ts`. Slack has no
    idempotency keys, so if the answer to an attempt is lost, the message can appear
    twice in the channel.
    """

    Settings = SlackSettings

    def __init__(self, settings: SlackSettings, context: PluginContext) -> None:
        super().__init__(_target(settings, context))
        self._settings = settings
        self._channel_rate = ChannelRate(
            context.clock, interval_s=settings.interval_s, max_wait_s=_MAX_WAIT_S
        )
        self._url = _url(settings)

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Post the message once, within the channel's rate, and return the outcome."""
        request = self.request(delivery)
        if not isinstance(request, Request):
            return request
        channel = request.body.get("channel")
        queue_s = await self._channel_rate.acquire(str(channel))
        if queue_s is not None:
            return Hold(
                reason="the channel's limit of one message a second (interval_s) is reached",
                after_s=queue_s,
                failure=FailureClass.RATE_LIMITED,
            )
        answer = await self._http.send(request)
        if not isinstance(answer, Answer):
            return answer
        return self._outcome(answer, own_channel=channel != self._settings.channel)

    async def examine_target(self) -> TargetReport:
        """Test the token by `auth.test`, which posts nothing; with a webhook, test only Slack's server."""
        if self._settings.webhook_url is not None:
            report = await self._http.examined(self._url.origin())
            said = f"{report.found}; a webhook can't be tried without a message"
            return replace(report, found=said) if report.is_well else report
        request = Request(method="POST", url=URL(self._settings.api_url) / "auth.test", key="auth.test")
        async with self._http:
            answer = await self._http.send(request)
        outcome = self._outcome(answer, own_channel=False) if isinstance(answer, Answer) else answer
        if isinstance(outcome, Delivered):
            return TargetReport(
                is_well=True, found="Slack accepts the token; posting to the channel was not tried"
            )
        return TargetReport(is_well=False, found=outcome.reason)

    def request(self, delivery: Delivery, /) -> Request | Outcome:
        """Return the request that posts the message, or the outcome if there is no request."""
        if delivery.body is not None and not isinstance(delivery.body, dict):
            return Reject(
                reason="the body is not an object",
                hint="map body to members of a Slack message, or remove body",
                sent=False,
            )
        return Request(
            method="POST",
            url=self._url,
            key=delivery.key,
            body=self._payload(delivery),
            traceparent=delivery.traceparent,
        )

    def _payload(self, delivery: Delivery) -> JsonObject:
        payload = message(delivery, blocks=self._settings.blocks, record_url=self._settings.record_url)
        if self._settings.channel is not None:
            payload.setdefault("channel", self._settings.channel)
        return payload

    def _outcome(self, answer: Answer, *, own_channel: bool) -> Outcome:
        outcome = self._http.verdict(answer, invalid_because=self._invalid_because(answer))
        if isinstance(outcome, Hold) and answer.retry_after:
            return outcome
        code = _code(answer)
        known = explained(code, answer, own_channel=own_channel)
        if known is not None:
            return answer.explaining(known)
        return _receipt(answer) if isinstance(outcome, Delivered) else outcome

    def _invalid_because(self, answer: Answer) -> str | None:
        """Return why a 200 does not count; `None` for Slack's answers `ok` and `{"ok": true}`."""
        if self._settings.webhook_url is not None and answer.body.strip() == b"ok":
            return None
        if self._settings.token is not None and (answer.json or {}).get("ok") is True:
            return None
        return f"with {answer.code or 'an answer that is not from Slack'}"


def _receipt(answer: Answer) -> Delivered:
    said = answer.json or {}
    return Delivered(answer={name: said[name] for name in ("ts", "channel") if name in said})


def _target(settings: SlackSettings, context: PluginContext) -> HttpTarget:
    if settings.webhook_url is None:
        return HttpTarget(settings, settings.auth, context)
    url = URL(settings.webhook_url.get_secret_value())
    return HttpTarget(settings, settings.auth, context, secrets=(str(url), url.raw_path, url.raw_name))


def _url(settings: SlackSettings) -> URL:
    if settings.webhook_url is not None:
        return URL(settings.webhook_url.get_secret_value())
    return URL(settings.api_url) / "chat.postMessage"


def _code(answer: Answer) -> str:
    """Return Slack's error code: `error` of an object, or the whole text of a webhook's answer."""
    if answer.json is not None:
        return answer.code
    return answer.excerpt.strip() if len(answer.body) <= 100 else ""  # noqa: PLR2004 - longer than any code
