"""Implementation of the MQTT plugin."""

import asyncio
import random
import re
import secrets
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

from streamer.cloud_events import Message, emptied, message
from streamer.events import Delivery, Outcome, Reject, Retry, Skip
from streamer.ports import PluginContext, Preview, TargetReport
from subscribers.http.connection import ForbiddenAddress
from subscribers.http.redaction import Redaction
from subscribers.http.tls import TargetTls
from subscribers.mqtt.answers import acknowledged, refused
from subscribers.mqtt.connection import Broker, BrokerConnection, BrokerRefused, BrokerUnreached, TooLarge
from subscribers.mqtt.packets import BrokerAnswer, Connect, MqttVersion, Publish
from subscribers.mqtt.session import MqttSession
from subscribers.mqtt.settings import MqttSettings
from subscribers.placeholders import Template, Unfilled

# Separators, wildcards, $ of the broker's own topics, % of the quoting, and characters that the
# standard discourages.
_FORBIDDEN = re.compile("[%/+#$\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

_LONGEST_NAME = 40

_PLAIN_TEXT = "text/plain"


class Mqtt:
    """Publishes each event as one message; an event is delivered when the broker acknowledges its message.

    The payload is the subscriber's `content` or `body`, or without both, the
    event's data. With MQTT 5, user properties contain the attributes of the
    CloudEvent. The attributes are the same on each attempt, so a consumer
    recognises a repetition by `id`.
    """

    Settings = MqttSettings
    takes_content: Final = True
    takes_text: Final = False

    def __init__(self, settings: MqttSettings, context: PluginContext) -> None:
        self._settings = settings
        self._context = context
        self._topic = Template(settings.topic)
        self._redaction = Redaction.of([settings.password.get_secret_value()] if settings.password else [])
        self._session: MqttSession | None = None
        self.batch_size = settings.batch_size
        self.batch_wait_s = settings.batch_wait_s

    async def __aenter__(self) -> Self:
        """Prepare the session; raises `ConfigurationError` for unusable certificates."""
        broker = _broker(self._settings, self._context)
        if broker.tls is not None:
            await broker.tls.check()
        self._session = MqttSession(broker, self._context.clock, random.random)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the connection."""
        if self._session is not None:
            await self._session.close()
        self._session = None

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Publish the event once, and return the outcome."""
        publish = self._message(delivery)
        if not isinstance(publish, Publish):
            return publish
        if self._session is None:
            raise RuntimeError("the plugin is not open")
        try:
            connection = await self._session.connection()
            answer = await connection.publish(publish)
        except BrokerUnreached as exc:
            return Retry(reason=str(exc), failure=exc.failure)
        except ForbiddenAddress as exc:
            return exc.outcome
        except BrokerRefused as exc:
            return refused(str(exc), self._shown(exc.answer), is_about_message=exc.is_about_message)
        except (TooLarge, ValueError) as exc:
            return Reject(reason=str(exc), hint="send a smaller body, or use another topic", sent=False)
        if publish.qos and not answer.is_refusal:
            self._session.worked()
        return acknowledged(self._shown(answer), publish)

    async def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Publish all events at the same time, each once, and return the outcomes in order."""
        return await asyncio.gather(*map(self.deliver, deliveries))

    def preview(self, delivery: Delivery, /) -> Preview | Outcome:
        """Return the message that would be sent, or the outcome if there is no message."""
        publish = self._message(delivery)
        if not isinstance(publish, Publish):
            return publish
        retain = ", retained" if publish.retain else ""
        shown = {"content-type": publish.content_type or "", **publish.user_properties}
        return Preview(
            request=f"PUBLISH {publish.topic} (QoS {publish.qos}{retain})",
            headers=shown if self._settings.version is MqttVersion.V5 else {},
            content=publish.payload,
        )

    async def examine_target(self) -> TargetReport:
        """Connect with the credentials and a client id that belongs to no session, and disconnect."""
        broker = _broker(self._settings, self._context)
        apart = replace(
            broker.connect, client_id=_new_id(self._context.name), clean_start=True, session_expiry_s=0
        )
        try:
            connection = await BrokerConnection.open(replace(broker, connect=apart), self._context.clock)
        except (BrokerUnreached, ForbiddenAddress) as exc:
            return TargetReport(is_well=False, found=str(exc))
        except BrokerRefused as exc:
            outcome = refused(str(exc), self._shown(exc.answer), is_about_message=False)
            return TargetReport(is_well=False, found=outcome.reason)
        await connection.close()
        return TargetReport(is_well=True, found=f"{broker} accepts the connection; no message was published")

    def _message(self, delivery: Delivery) -> Publish | Reject | Skip:
        settings = self._settings
        try:
            topic = self._topic.filled(delivery, _level)
        except Unfilled as missing:
            return Reject(
                reason=f"topic: {missing}",
                hint="use only placeholders in topic that every event of this subscriber has",
                sent=False,
            )
        clears = delivery.event.is_deletion and settings.deletions == "clear"
        sent = emptied(delivery, settings.mode, _PLAIN_TEXT) if clears else message(delivery, settings.mode)
        if not isinstance(sent, Message):
            return sent
        return Publish(
            topic=topic,
            payload=sent.content.data,
            qos=settings.qos,
            retain=settings.retain,
            content_type=sent.content.type,
            expiry_s=settings.expiry_s,
            user_properties={**sent.attributes, **_traced(delivery)},
        )

    def _shown(self, answer: BrokerAnswer) -> BrokerAnswer:
        """Return `answer` without the password, in case the broker repeats it."""
        reason, server = (self._redaction(each.encode()).decode() for each in (answer.reason, answer.server))
        return replace(answer, reason=reason, server=server)


def _traced(delivery: Delivery) -> dict[str, str]:
    return {} if delivery.traceparent is None else {"traceparent": delivery.traceparent}


def _level(value: str) -> str:
    """Return `value` as one level of a topic."""
    return _FORBIDDEN.sub(lambda found: quote(found[0], safe="", errors="replace"), value)


def _new_id(name: str) -> str:
    return f"streamer-{name[:_LONGEST_NAME]}-{secrets.token_hex(4)}"


def _broker(settings: MqttSettings, context: PluginContext) -> Broker:
    scheme, host, port = settings.broker
    password = settings.password
    return Broker(
        host=host,
        port=port,
        rule=settings.address_rule,
        tls=TargetTls(settings.ca_file, settings.client_certificate, context.clock)
        if scheme == "mqtts"
        else None,
        version=settings.version,
        connect=Connect(
            client_id=settings.client_id or _new_id(context.name),
            keep_alive_s=settings.keep_alive_s,
            clean_start=not settings.keeps_session,
            session_expiry_s=settings.session_expiry_s if settings.keeps_session else 0,
            username=settings.username,
            password=password.get_secret_value() if password else None,
        ),
        timeout_s=settings.timeout_s,
        max_packet_bytes=settings.max_packet_bytes,
    )
