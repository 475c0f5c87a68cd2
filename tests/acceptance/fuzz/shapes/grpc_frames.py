"""Hostile answers of the Pub/Sub API below its messages: compression, metadata and frames."""

from collections.abc import Callable

from streamer.eventbus import ConsumerEvent, FetchResponse, ProducerEvent, SchemaInfo
from tests.acceptance.fuzz.besieged import Besieged
from tests.acceptance.fuzz.frames import (
    CONTINUATION,
    DATA,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    FrameConnection,
    beginning,
    frame,
    header_field,
    headers,
    message,
    trailers,
)
from tests.acceptance.fuzz.hostile_org import gzipped
from tests.acceptance.fuzz.shapes.shape import MB, SHAPES, Shape, many, shape
from tests.pubsub_server import replay_id, uuid

_GZIP = header_field(b"grpc-encoding", b"gzip")
_AT_ONCE = 1_000


async def _compressed(connection: FrameConnection, content: bytes) -> None:
    stream = await connection.calls.get()
    await connection.send(beginning(stream, _GZIP))
    await connection.send_data(stream, message(content, is_compressed=True))


@shape("pubsub: a million empty events, a few kB as gzip")
async def _(besieged: Besieged, size: float) -> None:
    content = gzipped(b"\x0a\x00" * many(size, 1_000_000))
    await besieged.bus_plays(lambda connection: _compressed(connection, content))


@shape("pubsub: a gzip bomb of 60 MB")
async def _(besieged: Besieged, size: float) -> None:
    event = ConsumerEvent(event=ProducerEvent(id="x", schema_id="s", payload=bytes(many(size, 60 * MB))))
    content = gzipped(FetchResponse(events=[event]).SerializeToString())
    await besieged.bus_plays(lambda connection: _compressed(connection, content))


@shape("pubsub: a gzip bomb of 4 GB")
async def _(besieged: Besieged, size: float) -> None:
    content = gzipped(bytes(MB), many(size, 4_000))
    await besieged.bus_plays(lambda connection: _compressed(connection, content))


@shape("pubsub: a schema as a gzip bomb of 2 GB")
async def _(besieged: Besieged, size: float) -> None:
    event = ProducerEvent(id=uuid(1), schema_id=f"bomb-{besieged.number}", payload=b"")
    answer = FetchResponse(events=[ConsumerEvent(event=event, replay_id=replay_id(1))])
    bomb = gzipped(b" " * MB, many(size, 2_000))

    async def play(connection: FrameConnection) -> None:
        stream = await connection.calls.get()
        await connection.send(beginning(stream))
        await connection.send_data(stream, message(answer.SerializeToString()))
        await _compressed(connection, bomb)

    await besieged.bus_plays(play)


@shape("pubsub: a schema of 60 MB")
async def _(besieged: Besieged, size: float) -> None:
    event = ProducerEvent(id=uuid(1), schema_id=f"large-{besieged.number}", payload=b"")
    answer = FetchResponse(events=[ConsumerEvent(event=event, replay_id=replay_id(1))])
    schema = SchemaInfo(schema_json=" " * many(size, 60 * MB)).SerializeToString()

    async def play(connection: FrameConnection) -> None:
        for content in (answer.SerializeToString(), schema):
            stream = await connection.calls.get()
            await connection.send(beginning(stream))
            await connection.send_data(stream, message(content))

    await besieged.bus_plays(play)


def _answering(make: Callable[[int, float], bytes]) -> Shape:
    """Return the shape whose frames `make` returns for a stream and a size; they need no room."""

    async def play(besieged: Besieged, size: float) -> None:
        async def answer(connection: FrameConnection) -> None:
            await connection.send(make(await connection.calls.get(), size))

        await besieged.bus_plays(answer)

    return play


def _metadata(stream: int, size: float) -> bytes:
    return beginning(stream, header_field(b"x", b"y" * many(size, 16 * MB)))


def _many_fields(stream: int, size: float) -> bytes:
    return beginning(stream, *(header_field(b"x%d" % number, b"y") for number in range(many(size, 500_000))))


def _repeated_field(stream: int, size: float) -> bytes:
    # One byte repeats the field that the reader's table holds: two gigabytes in half a megabyte.
    large = header_field(b"x", b"y" * 4_000, is_indexed=True)
    return beginning(stream, large, b"\xbe" * many(size, 500_000))


def _unended_headers(stream: int, size: float) -> bytes:
    begun = frame(HEADERS, 0, stream, b"\x88")
    return begun + frame(CONTINUATION, 0, stream) * many(size, 1_000_000)


def _status_message(stream: int, size: float) -> bytes:
    return beginning(stream) + trailers(stream, header_field(b"grpc-message", b"x" * many(size, 8 * MB)))


def _trailers(stream: int, size: float) -> bytes:
    return beginning(stream) + trailers(stream) * many(size, 500_000)


def _behind_the_end(stream: int, size: float) -> bytes:
    late = frame(DATA, 0, stream) + headers(stream, header_field(b"x", b"y"))
    return beginning(stream) + trailers(stream) + late * many(size, 500_000)


def _resets(stream: int, size: float) -> bytes:
    return beginning(stream) + frame(RST_STREAM, 0, stream, bytes(4)) * many(size, 500_000)


def _empty_data(stream: int, size: float) -> bytes:
    return beginning(stream) + frame(DATA, 0, stream) * many(size, 2_000_000)


def _pings(stream: int, size: float) -> bytes:
    return beginning(stream) + frame(PING, 0, 0, bytes(8)) * many(size, 500_000)


def _settings(stream: int, size: float) -> bytes:
    return beginning(stream) + frame(SETTINGS, 0, 0) * many(size, 500_000)


def _windows(stream: int, size: float) -> bytes:
    wider = frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01")
    return beginning(stream) + wider * many(size, 1_000_000)


SHAPES |= {
    f"pubsub: {name}": _answering(make)
    for name, make in {
        "metadata of 16 MB": _metadata,
        "metadata of half a million fields": _many_fields,
        "a field of metadata that is repeated": _repeated_field,
        "metadata without an end": _unended_headers,
        "a status with a text of 8 MB": _status_message,
        "trailers by the million": _trailers,
        "frames behind the end of a call": _behind_the_end,
        "resets by the million": _resets,
        "frames without data by the million": _empty_data,
        "pings by the million": _pings,
        "settings by the million": _settings,
        "windows by the million": _windows,
    }.items()
}


def _endless(content: bytes, number: int) -> Shape:
    async def play(besieged: Besieged, size: float) -> None:
        async def answer(connection: FrameConnection) -> None:
            stream = await connection.calls.get()
            await connection.send(beginning(stream))
            for _ in range(many(size, number) // _AT_ONCE):
                await connection.send_data(stream, message(content) * _AT_ONCE)

        await besieged.bus_plays(answer)

    return play


SHAPES |= {
    "pubsub: keep-alives without a pause": _endless(
        FetchResponse(latest_replay_id=replay_id(0)).SerializeToString(), 30_000
    ),
    "pubsub: empty answers without a pause": _endless(b"", 30_000),
    "pubsub: invalid answers, without a pause": _endless(b"\xff", 30_000),
}
