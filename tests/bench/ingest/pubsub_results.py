"""Results of the Pub/Sub API's part of the bench."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from streamer.settings import Transport
from tests.bench.ingest.results import Drain, Latency
from tests.bench.results import Part, Ratio, Row, measured

_AIM_MB = "200 MB"
_NAMES = {Transport.COMETD.value: "CometD", Transport.PUBSUB.value: "Pub/Sub"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A backlog that the probe without Kafka received, decoded and made JSON of."""

    events: int
    events_per_s: float
    cpu_us_per_event: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PubSubDrains(Part):
    """The same backlog drained over the Pub/Sub API by Streamer and by the two probes in turn."""

    streamer: Sequence[Drain]
    receiving_probe: Sequence[Received]
    writing_probe: Sequence[Drain]

    @property
    def complete(self) -> bool:
        """True when both programs that write committed every event, once."""
        return all(drain.committed == drain.events for drain in (*self.streamer, *self.writing_probe))

    def ratios(self) -> Sequence[Ratio]:
        """Return the ratios to both probes."""
        cpu = "Pub/Sub drain, CPU an event"
        return [
            Ratio(
                what=f"{cpu}: Streamer ÷ probe that writes nothing (grpc.aio, fastavro, orjson)",
                each=self._each(lambda one: one.cpu_us_per_event, self.receiving_probe),
                aim="≤ 1.4",
            ),
            Ratio(
                what=f"{cpu}: Streamer ÷ probe that writes the same records",
                each=self._each(lambda one: one.cpu_us_per_event, self.writing_probe),
            ),
            Ratio(
                what="Pub/Sub drain, events/s: Streamer ÷ probe that writes the same records",
                each=self._each(lambda one: one.events_per_s, self.writing_probe),
            ),
        ]

    def figures(self) -> Sequence[Row]:
        """Return the figures of all three."""
        committed = " ".join(f"{drain.committed:,}" for drain in self.streamer)
        events = f"{self.streamer[0].events:,}"
        memory = measured([each.resident_mb for each in self.streamer], "{:.0f} MB")
        return [
            Row(f"Pub/Sub backlog of {events} events of 1 KB, committed", committed, events),
            *_rows("Streamer", self.streamer),
            Row("Pub/Sub: memory after the backlog", memory, _AIM_MB),
            *_rows("probe that writes nothing", self.receiving_probe),
            *_rows("probe that writes the same records", self.writing_probe),
        ]

    def _each(
        self, figure: Callable[[Drain | Received], float], others: Sequence[Drain | Received]
    ) -> list[float]:
        return [figure(ours) / figure(other) for ours, other in zip(self.streamer, others, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportLatencies(Part):
    """The same stream over each transport in turn, by the transport's name."""

    streams: Mapping[str, Sequence[Latency]]

    @property
    def complete(self) -> bool:
        """True when there are measurements: the reader waits for every event."""
        return all(self.streams.values())

    def ratios(self) -> Sequence[Ratio]:
        """Return the ratios of the Pub/Sub API to CometD."""
        cometd, pubsub = (self.streams[each.value] for each in (Transport.COMETD, Transport.PUBSUB))
        pairs = list(zip(pubsub, cometd, strict=True))
        of = f"{cometd[0].per_second:g} events/s, Pub/Sub ÷ CometD"
        return [
            Ratio(what=f"{of}: p50", each=[one.p50_ms / other.p50_ms for one, other in pairs]),
            Ratio(what=f"{of}: p99", each=[one.p99_ms / other.p99_ms for one, other in pairs]),
            Ratio(
                what=f"{of}: CPU an event",
                each=[one.cpu_us_per_event / other.cpu_us_per_event for one, other in pairs],
            ),
        ]

    def figures(self) -> Sequence[Row]:
        """Return latencies and CPU over each transport."""
        return [row for name, latencies in self.streams.items() for row in _of_transport(name, latencies)]


def _of_transport(name: str, latencies: Sequence[Latency]) -> Sequence[Row]:
    of = f"{latencies[0].per_second:g} events/s over {_NAMES[name]}"
    return [
        Row(f"{of}: p50", measured([one.p50_ms for one in latencies], "{:.1f} ms")),
        Row(f"{of}: p99", measured([one.p99_ms for one in latencies], "{:.1f} ms")),
        Row(f"{of}: the longest", measured([one.max_ms for one in latencies], "{:.1f} ms")),
        Row(f"{of}: CPU an event", measured([one.cpu_us_per_event for one in latencies], "{:.0f} µs")),
        Row(
            f"{of}: events a transaction",
            measured([one.events / one.transactions for one in latencies], "{:.1f}"),
        ),
    ]


def _rows(who: str, drains: Sequence[Drain | Received]) -> list[Row]:
    return [
        Row(f"Pub/Sub, {who}: CPU an event", measured([one.cpu_us_per_event for one in drains], "{:.1f} µs")),
        Row(f"Pub/Sub, {who}: events/s", measured([one.events_per_s for one in drains], "{:,.0f}")),
    ]
