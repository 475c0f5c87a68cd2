"""Connection to a broker, which sends messages and receives acknowledgements."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Self

from streamer.clock import Clock
from streamer.errors import RetryLater
from streamer.events import FailureClass
from streamer.web.addresses import AddressRefused, AddressRule, connected_socket
from streamer.web.reasons import system_reason
from subscribers.http.connection import ForbiddenAddress
from subscribers.http.tls import TargetTls
from subscribers.mqtt.packets import (
    DISCONNECT,
    LARGEST_ANSWER,
    PINGREQ,
    Acknowledgement,
    BrokerAnswer,
    Connack,
    Connect,
    MqttVersion,
    PacketType,
    Publish,
    disconnection,
    release,
)
from subscribers.mqtt.properties import MalformedPacketError

_PACKET_IDS = range(1, 65_536)
_LENGTH_BYTES = 4
_RETAIN_NOT_SUPPORTED, _QOS_NOT_SUPPORTED = 0x9A, 0x9B
_SHOWN = 200


class BrokerUnreached(RetryLater):
    """The broker can't be reached or the connection was lost; messages in flight are uncertain."""

    def __init__(self, message: str, *, failure: FailureClass = FailureClass.CONNECTION) -> None:
        super().__init__(message)
        self.failure = failure


class BrokerRefused(RetryLater):
    """The broker refuses or ends the connection; `answer` says why.

    `is_about_message` is true if a single message was in flight when the connection
    ended, because this message must be the reason.
    """

    def __init__(self, message: str, *, answer: BrokerAnswer, is_about_message: bool = False) -> None:
        super().__init__(message)
        self.answer = answer
        self.is_about_message = is_about_message


class TooLarge(RetryLater):
    """The broker does not accept a message of this size; nothing was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Address of a broker, with or without `tls`, and the packet `connect` that opens a connection.

    `rule` decides which addresses are allowed for the host.
    """

    host: str
    port: int
    rule: AddressRule
    tls: TargetTls | None
    version: MqttVersion
    connect: Connect = field(repr=False)
    timeout_s: float
    max_packet_bytes: int | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class BrokerConnection:
    """Open connection to a broker; create it by `open`, and end it by `close`.

    As many messages can be in flight as the broker allows. A lost or silent broker
    ends the connection.
    """

    def __init__(
        self, broker: Broker, clock: Clock, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._reader, self._writer = streams
        self._limits = Connack(answer=BrokerAnswer())
        self._waiting: dict[int, asyncio.Future[BrokerAnswer | RetryLater]] = {}
        self._released: set[int] = set()
        self._window = asyncio.Semaphore()
        self._settled = 0
        self._ids = chain.from_iterable(iter(lambda: _PACKET_IDS, None))
        self._heard = 0
        self._ended_by: RetryLater | None = None
        self._is_told = False
        self._tasks: Sequence[asyncio.Task[None]] = ()

    @classmethod
    async def open(cls, broker: Broker, clock: Clock) -> Self:
        """Connect within the broker's `timeout_s`.

        Raises `BrokerUnreached`, `BrokerRefused` or `ForbiddenAddress`.
        """
        writer = None
        try:
            async with clock.timeout(broker.timeout_s):
                tls = await broker.tls.context() if broker.tls else None
                reader, writer = await asyncio.open_connection(
                    sock=await connected_socket(broker.host, broker.port, broker.rule),
                    ssl=tls,
                    server_hostname=broker.host if tls else None,
                    limit=LARGEST_ANSWER,
                )
                connection = cls(broker, clock, (reader, writer))
                await connection._introduce()
        except BaseException as exc:
            if writer is not None:
                writer.transport.abort()
            if isinstance(exc, AddressRefused):
                raise ForbiddenAddress(str(exc)) from exc
            if isinstance(exc, OSError | EOFError | MalformedPacketError):
                raise _unreached(broker, exc) from exc
            raise
        return connection

    @property
    def is_open(self) -> bool:
        """True until the connection has ended."""
        return self._ended_by is None

    def take_refusal(self) -> BrokerRefused | None:
        """Return why the broker ended the connection; return `None` if the reason was reported before."""
        if self._is_told or not isinstance(self._ended_by, BrokerRefused):
            return None
        self._is_told = True
        return self._ended_by

    async def publish(self, message: Publish) -> BrokerAnswer:
        """Send `message`, and return the broker's answer; with QoS 0, the answer is always a success.

        If the broker allows no more messages in flight, the new message waits. The wait
        has no limit while the broker keeps acknowledging other messages. `timeout_s`
        begins when the new message is sent.

        Raises `BrokerUnreached`, `BrokerRefused` and `TooLarge`, and `ValueError` for a
        topic or a property that MQTT can't represent.
        """
        self._check_limits(message)
        try:
            if message.qos:
                await self._admission()
            async with self._clock.timeout(self._broker.timeout_s):
                return await (self._acknowledged(message) if message.qos else self._written(message))
        except TimeoutError as exc:
            # A broker acknowledges in order, so no later message gets its answer either.
            lost = BrokerUnreached(
                f"{self._broker} did not acknowledge the message within {self._broker.timeout_s:g} s",
                failure=FailureClass.TIMEOUT,
            )
            self._end(lost)
            raise lost from exc
        except OSError as exc:
            lost = _unreached(self._broker, exc)
            self._end(lost)
            raise lost from exc

    async def close(self) -> None:
        """Send DISCONNECT, and close the connection."""
        if self.is_open:
            self._writer.write(DISCONNECT)
            self._end(BrokerUnreached("the connection was closed"))
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        with suppress(OSError):
            await self._writer.wait_closed()

    @property
    def _largest(self) -> int | None:
        limits = [self._limits.maximum_packet_bytes, self._broker.max_packet_bytes]
        return min((limit for limit in limits if limit is not None), default=None)

    async def _introduce(self) -> None:
        self._writer.write(self._broker.connect.encoded(self._broker.version))
        kind, content = await self._next()
        if kind != PacketType.CONNACK:
            raise MalformedPacketError("the server does not answer like an MQTT broker")
        self._limits = Connack.decoded(self._broker.version, content)
        if self._limits.answer.is_refusal:
            raise BrokerRefused(f"{self._broker} refused the connection", answer=self._limits.answer)
        self._window = asyncio.Semaphore(self._limits.receive_maximum)
        self._tasks = (
            asyncio.create_task(self._receive(), name=f"mqtt {self._broker}: receive"),
            asyncio.create_task(self._keep_alive(), name=f"mqtt {self._broker}: keep alive"),
        )

    async def _admission(self) -> None:
        """Wait until the broker allows one more message in flight.

        Raises `TimeoutError` if the broker acknowledges no message during `timeout_s`.
        Usually a message in flight times out earlier; the message of a cancelled
        delivery does not time out.
        """
        while True:
            settled = self._settled
            try:
                async with self._clock.timeout(self._broker.timeout_s):
                    await self._window.acquire()
            except TimeoutError:
                if self._settled == settled:
                    raise
            else:
                return

    async def _written(self, message: Publish) -> BrokerAnswer:
        self._check()
        self._writer.write(self._packet(message, 0))
        await self._writer.drain()
        self._check()
        return BrokerAnswer()

    async def _acknowledged(self, message: Publish) -> BrokerAnswer:
        """Send `message` and wait for the broker's answer; the caller holds a slot of the window."""
        try:
            self._check()
            packet_id = next(number for number in self._ids if number not in self._waiting)
            packet = self._packet(message, packet_id)
        except BaseException:
            self._window.release()
            raise
        acknowledged: asyncio.Future[BrokerAnswer | RetryLater] = asyncio.get_running_loop().create_future()
        # A cancelled delivery keeps its packet id until the broker has answered.
        self._waiting[packet_id] = acknowledged
        self._writer.write(packet)
        await self._writer.drain()
        answer = await acknowledged
        if isinstance(answer, RetryLater):
            raise answer
        return answer

    def _packet(self, message: Publish, packet_id: int) -> bytes:
        packet = message.encoded(self._broker.version, packet_id)
        if self._largest is not None and len(packet) > self._largest:
            raise TooLarge(f"the message has {len(packet):,} bytes, but the limit is {self._largest:,}")
        return packet

    def _check(self) -> None:
        """Raise the error that ended the connection; an unsent message can't be the reason for the error."""
        if isinstance(self._ended_by, BrokerRefused):
            raise BrokerRefused(str(self._ended_by), answer=self._ended_by.answer)
        if self._ended_by is not None:
            raise self._ended_by

    def _check_limits(self, message: Publish) -> None:
        """Raise an error for a message for which the broker would disconnect, such as a large message."""
        if message.qos > self._limits.maximum_qos:
            raise BrokerRefused(
                f"{self._broker} can't accept the message", answer=BrokerAnswer(code=_QOS_NOT_SUPPORTED)
            )
        if message.retain and not self._limits.retains:
            raise BrokerRefused(
                f"{self._broker} can't accept the message", answer=BrokerAnswer(code=_RETAIN_NOT_SUPPORTED)
            )

    async def _receive(self) -> None:
        try:
            while self.is_open:
                kind, content = await self._next()
                self._heard += 1
                self._take(kind, content)
        except (OSError, EOFError, MalformedPacketError) as exc:
            self._end(_unreached(self._broker, exc))

    async def _next(self) -> tuple[int, bytes]:
        """Return the kind and the content of the next packet.

        Messages from the broker are skipped and not acknowledged, because they are for
        a former owner of the session.
        """
        while True:
            kind = (await self._reader.readexactly(1))[0] >> 4
            rest = await self._length()
            if kind != PacketType.PUBLISH:
                break
            while rest:
                read = await self._reader.read(min(rest, LARGEST_ANSWER))
                if not read:
                    raise EOFError
                rest -= len(read)
        if rest > LARGEST_ANSWER:
            raise MalformedPacketError(f"the server sent a packet of {rest:,} bytes, which is too large")
        return kind, await self._reader.readexactly(rest)

    async def _length(self) -> int:
        length = 0
        for position in range(_LENGTH_BYTES):
            byte = (await self._reader.readexactly(1))[0]
            length |= (byte & 0x7F) << 7 * position
            if byte < 0x80:  # noqa: PLR2004 - the highest bit means that another byte follows
                return length
        raise MalformedPacketError("the server does not answer like an MQTT broker")

    def _take(self, kind: int, content: bytes) -> None:
        match kind:
            case PacketType.PUBACK | PacketType.PUBCOMP:
                taken = Acknowledgement.decoded(content)
                # The PUBREC before a PUBCOMP has already accepted the message, whatever the
                # code of PUBCOMP.
                answer = taken.answer if kind == PacketType.PUBACK else BrokerAnswer()
                self._settle(taken.packet_id, answer)
            case PacketType.PUBREC:
                taken = Acknowledgement.decoded(content)
                if taken.answer.is_refusal:
                    self._settle(taken.packet_id, taken.answer)
                elif taken.packet_id in self._waiting and taken.packet_id not in self._released:
                    # Answer only once, because a broker that does not read answers must not
                    # fill the memory.
                    self._released.add(taken.packet_id)
                    self._writer.write(release(taken.packet_id))
            case PacketType.DISCONNECT:
                answer = disconnection(content)
                is_alone = len(self._waiting) == 1
                self._end(
                    BrokerRefused(
                        f"{self._broker} ended the connection", answer=answer, is_about_message=is_alone
                    )
                )

    def _settle(self, packet_id: int, answer: BrokerAnswer | RetryLater) -> None:
        waiting = self._waiting.pop(packet_id, None)
        self._released.discard(packet_id)
        if waiting is None:
            return
        self._settled += 1
        self._window.release()
        if not waiting.done():
            waiting.set_result(answer)

    def _end(self, error: RetryLater) -> None:
        if self._ended_by is not None:
            return
        self._ended_by = error
        self._is_told = bool(self._waiting)
        for packet_id in list(self._waiting):
            self._settle(packet_id, error)
        self._writer.transport.abort()

    async def _keep_alive(self) -> None:
        usual_s = self._broker.connect.keep_alive_s
        asked_s = self._limits.keep_alive_s
        # 0 means no limit.
        interval_s = min(usual_s, asked_s or usual_s) / 2
        while self.is_open:
            await self._clock.sleep(interval_s)
            heard = self._heard
            self._writer.write(PINGREQ)
            await self._clock.sleep(min(interval_s, self._broker.timeout_s))
            if self._heard == heard:
                self._end(
                    BrokerUnreached(
                        f"{self._broker} did not answer a keep-alive", failure=FailureClass.TIMEOUT
                    )
                )


def _unreached(broker: Broker, exc: BaseException) -> BrokerUnreached:
    failure = FailureClass.CONNECTION
    match exc:
        case ssl.SSLCertVerificationError():
            reason = f"the certificate of {broker} is not trusted ({exc.verify_message}): check ca_file"
        case ssl.SSLError():
            reason = f"TLS with {broker} failed ({exc.reason}): check url and client_certificate"
        case socket.gaierror():
            reason = f"the name {broker.host} can't be resolved"
        case TimeoutError():
            failure = FailureClass.TIMEOUT
            reason = f"{broker} gave no answer within {broker.timeout_s:g} s"
        case MalformedPacketError():
            failure = FailureClass.UNEXPECTED_ANSWER
            reason = f"{broker}: {exc}: check url"
        case EOFError() | ConnectionResetError() | BrokenPipeError():
            reason = f"{broker} closed the connection"
        case OSError():
            reason = f"can't connect to {broker}: {system_reason(exc)[:_SHOWN]}"
        case _:
            reason = f"can't connect to {broker} ({type(exc).__name__})"
    return BrokerUnreached(reason, failure=failure)
