"""Metrics for Prometheus.

Every metric is declared once, in :class:`Metrics`, and used through a handle for one
channel, subscriber or session. A handle needs no lookup of series. A handle's series
exist from the beginning with the value zero. Only series by cause, error or reason
begin with their first use (`CountersByKey`).
"""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from streamer.clock import Clock
from streamer.events import (
    Channel,
    Delivered,
    Disable,
    Hold,
    Reject,
    Retry,
    Skip,
    SubscriberName,
)
from streamer.observe import series
from streamer.observe.log_metrics import LogMetrics
from streamer.observe.org_metrics import OrgLimitMetrics, OutboundMetrics, ReconcileMetrics, SessionMetrics
from streamer.observe.process import ProcessMetrics
from streamer.observe.state_metrics import StateMetrics

OUTCOMES = (Delivered, Retry, Hold, Reject, Skip, Disable)
_APPEND_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)
_AGE_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3_600, 86_400, 259_200)
_BATCH_BUCKETS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


class Metrics:
    """All metrics of one process, in `registry` or in a new registry. `clock` measures ages.

    Label values are bounded: configured names, enums, and words that
    :class:`~streamer.observe.series.LabelValues` admits. Record ids and error texts
    are never labels.
    """

    def __init__(self, *, clock: Clock, registry: CollectorRegistry | None = None) -> None:
        # Creation times would double the counters in each scrape, and Prometheus does not use them.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library does not annotate it
        self.registry = registry or CollectorRegistry()
        self._declare = series.Declarations(self.registry)
        self._clock = clock
        self._label_values = series.LabelValues()
        self._channels: dict[Channel, series.ChannelMetrics] = {}
        self._subscribers: dict[SubscriberName, series.SubscriberMetrics] = {}
        self._declare_session()
        self._declare_ingest()
        self._declare_large_texts()
        self.outbound = self._declared_outbound()
        self.lookups = series.LookupMetrics.declared(self.registry)
        self.spans = series.SpanMetrics.declared(self.registry)
        self._declare_set_aside()
        self._declare_attempts()
        self._declare_subscriber()
        self._of_subscribers = self._series_of_subscribers()
        self.session = self._session()
        self.process = ProcessMetrics(clock, self.registry)
        self.log = LogMetrics(self.registry, self._label_values)
        self.org_limits = OrgLimitMetrics(self.registry)
        self.reconciling = ReconcileMetrics(self.registry)
        self.states = StateMetrics(self.registry)

    def channel(self, channel: Channel) -> series.ChannelMetrics:
        """Return the metrics of `channel`; each call returns the same object."""
        if channel not in self._channels:
            self._channels[channel] = self._bound_to_channel(channel)
        return self._channels[channel]

    def subscriber(self, name: SubscriberName) -> series.SubscriberMetrics:
        """Return the metrics of the subscriber `name`; each call returns the same object."""
        if name not in self._subscribers:
            self._subscribers[name] = self._bound_to_subscriber(name)
        return self._subscribers[name]

    def forget_channel(self, path: str) -> None:
        """Remove the series of a channel that is no longer configured."""
        for channel in [each for each in self._channels if each.path == path]:
            del self._channels[channel]
        for each in self._of_channels:
            each.remove_by_labels({"channel": path})

    def forget_subscriber(self, name: SubscriberName) -> None:
        """Remove the series of a subscriber that is no longer configured."""
        self._subscribers.pop(name, None)
        self.process.forget_plugin(name)
        for each in self._of_subscribers:
            each.remove_by_labels({"subscriber": name})

    def _declare_ingest(self) -> None:
        self._events = self._declare.counter("ingest_events", "Events appended to the log.", "channel")
        self._batches = self._declare.counter(
            "ingest_batches", "Batches appended to the log, including empty batches.", "channel"
        )
        self._append_seconds = self._declare.histogram(
            "append_seconds",
            "Time from the start of an append until the batch was durable in the log.",
            _APPEND_BUCKETS_S,
            "channel",
        )
        self._age_seconds = self._declare.histogram(
            "event_age_seconds",
            (
                "Time from an event's commit in Salesforce until the event was in the log, for the first "
                "event of each append."
            ),
            _AGE_BUCKETS_S,
            "channel",
        )
        self._verified = self._declare.gauge(
            "checkpoint_verified_timestamp_seconds",
            (
                "Time up to which no event is missing, in seconds since the epoch; absent while this time is "
                "unknown."
            ),
            "channel",
        )
        self._expires = self._declare.gauge(
            "checkpoint_expires_timestamp_seconds",
            "Time after which Salesforce can drop unread events, in seconds since the epoch.",
            "channel",
        )
        self._up = self._declare.gauge(
            "channel_up",
            (
                "1 while Streamer is subscribed to the channel and reads it, 0 otherwise; absent while "
                "another process owns the channel."
            ),
            "channel",
        )
        self._owned = self._declare.gauge(
            "channel_owned",
            "1 while this process owns the channel, 0 while another process owns it.",
            "channel",
        )

    def _declare_large_texts(self) -> None:
        self._large_texts = self._declare.counter(
            "large_text_diffs",
            "Large texts that arrived as a diff, by result: applied, reread or marked; not counted if "
            "large_text is mark.",
            "channel",
            "result",
        )

    def _declare_session(self) -> None:
        self._bytes = self._declare.counter(
            "ingest_bytes", "Bytes that Streamer read in Salesforce's answers."
        )
        self._handshakes = self._declare.counter(
            "session_handshakes", "Sessions that Streamer opened with Salesforce."
        )
        self._lost = self._declare.counter(
            "session_lost", "Sessions that Salesforce or the network ended.", "reason"
        )
        self._overdue = self._declare.counter(
            "session_overdue", "Requests that Salesforce did not answer in time."
        )
        self._subscriptions = self._declare.counter(
            "session_subscriptions",
            "Attempts to subscribe to a channel, by Salesforce's answer.",
            "channel",
            "outcome",
        )

    def _declared_outbound(self) -> OutboundMetrics:
        return OutboundMetrics(
            requests=self._declare.counter(
                "outbound_requests",
                "Requests with outbound messages from Salesforce, by outcome; the label channel is empty "
                "for an unknown address.",
                "channel",
                "outcome",
            ),
            repeats=self._declare.counter(
                "outbound_repeats",
                "Notifications that Salesforce sent again although the log already held them.",
                "channel",
            ),
        )

    def _declare_set_aside(self) -> None:
        self._dead_letters = self._declare.counter(
            "dead_letters",
            (
                "Events that became dead letters; the label subscriber is empty for events that never "
                "reached the log."
            ),
            "stage",
            "subscriber",
            "reason",
        )
        self._continuity = self._declare.counter(
            "continuity_records",
            "Continuity records, which describe detected holes and ordered snapshots.",
            "channel",
            "cause",
        )
        self._unrepaired = self._declare.counter(
            "continuity_unrepaired",
            "Holes whose events are still missing after the repair, or that had no repair.",
            "channel",
            "cause",
        )

        self._of_channels = (
            self._events,
            self._batches,
            self._append_seconds,
            self._age_seconds,
            self._verified,
            self._expires,
            self._up,
            self._owned,
            self._subscriptions,
            self._continuity,
            self._unrepaired,
            self._large_texts,
            self.outbound.requests,
            self.outbound.repeats,
        )

    def _declare_attempts(self) -> None:
        self._deliveries = self._declare.counter(
            "deliveries",
            "Attempts to deliver an event, by outcome; events skipped without an attempt count too.",
            "subscriber",
            "outcome",
        )
        self._failed = self._declare.counter(
            "failed_attempts",
            "Attempts that did not deliver the event, by class of error.",
            "subscriber",
            "error",
        )
        self._delivery_seconds = self._declare.histogram(
            "delivery_seconds",
            "Duration of one attempt; attempts that sent no request are not counted.",
            series.DELIVERY_BUCKETS_S,
            "subscriber",
        )
        self._to_target_seconds = self._declare.histogram(
            "event_to_target_seconds",
            "Time from an event's commit in Salesforce until the target accepted the event.",
            _AGE_BUCKETS_S,
            "subscriber",
        )
        self._batch_events = self._declare.histogram(
            "delivery_batch_events",
            "Events per call of a plugin that takes batches.",
            _BATCH_BUCKETS,
            "subscriber",
        )
        self._in_flight = self._declare.gauge("delivery_in_flight", "Attempts under way.", "subscriber")
        self._limit = self._declare.gauge(
            "delivery_limit",
            "Current maximum number of attempts under way; Streamer adapts this number to the target.",
            "subscriber",
        )

    def _declare_subscriber(self) -> None:
        self._lag = self._declare.gauge(
            "delivery_lag_events", "Events in the log that are not settled yet.", "subscriber"
        )
        self._delivered_through = self._declare.gauge(
            "oldest_undelivered_timestamp_seconds",
            "Commit time of the oldest undelivered event, in seconds since the epoch; equal to the "
            "current time while no event waits.",
            "subscriber",
        )
        self._deliver_within = self._declare.gauge(
            "deliver_within_seconds",
            "Value of deliver_within in seconds: the time for which an event can wait for its delivery "
            "before an alert fires; infinite without a limit.",
            "subscriber",
        )
        self._parked = self._declare.gauge(
            "parked_events", "Parked events, which the log keeps for a later attempt.", "subscriber"
        )
        self._held = self._declare.gauge(
            "subscriber_held", "1 while Streamer holds deliveries to the target, 0 otherwise.", "subscriber"
        )
        self._following = self._declare.gauge(
            "subscriber_following",
            (
                "1 while the subscriber follows the log; 0 while the subscriber starts or its plugin can't "
                "be opened."
            ),
            "subscriber",
        )
        self._down = self._declare.gauge(
            "breaker_open",
            (
                "1 while the circuit breaker is open or probes the target, because too many attempts failed; "
                "0 otherwise."
            ),
            "subscriber",
        )
        self._unrecorded_s = self._declare.gauge(
            "unrecorded_seconds",
            "Time for which finished deliveries have waited for the log to record them.",
            "subscriber",
        )

    def _series_of_subscribers(self) -> tuple[Counter | Gauge | Histogram, ...]:
        return (
            self._deliveries,
            self._failed,
            self._delivery_seconds,
            self._to_target_seconds,
            self._batch_events,
            self._in_flight,
            self._limit,
            self._lag,
            self._delivered_through,
            self._deliver_within,
            self._parked,
            self._following,
            self._held,
            self._down,
            self._unrecorded_s,
            self._dead_letters,
        )

    def _session(self) -> SessionMetrics:
        return SessionMetrics(
            bytes=self._bytes,
            handshakes=self._handshakes,
            lost_by_reason=self._lost,
            overdue_answers=self._overdue,
            subscriptions=self._subscriptions,
            label_values=self._label_values,
        )

    def _bound_to_channel(self, channel: Channel) -> series.ChannelMetrics:
        path = channel.path
        return series.ChannelMetrics(
            clock=self._clock,
            appends=series.AppendSeries(
                batches=self._batches.labels(path),
                events=self._events.labels(path),
                append_seconds=self._append_seconds.labels(path),
                age_seconds=self._age_seconds.labels(path),
            ),
            state=series.ChannelGauges(
                path=path,
                verified=self._verified,
                expires=self._expires,
                ups=self._up,
                owned=self._owned.labels(path),
            ),
            holes=series.CountersByKey(lambda cause: self._continuity.labels(path, cause.value)),
            unrepaired=series.CountersByKey(lambda cause: self._unrepaired.labels(path, cause.value)),
            texts={result: self._large_texts.labels(path, result) for result in series.TEXT_RESULTS},
            dead_letters=self._dead_letters,
            label_values=self._label_values,
        )

    def _bound_to_subscriber(self, name: SubscriberName) -> series.SubscriberMetrics:
        return series.SubscriberMetrics(
            name=name,
            clock=self._clock,
            attempts=series.AttemptSeries(
                outcomes={kind: self._deliveries.labels(name, kind.__name__.lower()) for kind in OUTCOMES},
                failures=series.CountersByKey(lambda failure: self._failed.labels(name, failure.value)),
                seconds=self._delivery_seconds.labels(name),
                to_target_seconds=self._to_target_seconds.labels(name),
            ),
            state=self._gauges_of(name),
            batch_events=self._batch_events,
            dead_letters=self._dead_letters,
            label_values=self._label_values,
        )

    def _gauges_of(self, name: SubscriberName) -> series.SubscriberGauges:
        return series.SubscriberGauges(
            lag=self._lag.labels(name),
            delivered_through=self._delivered_through.labels(name),
            deliver_within_s=self._deliver_within.labels(name),
            in_flight=self._in_flight.labels(name),
            parked=self._parked.labels(name),
            limit=self._limit.labels(name),
            following=self._following.labels(name),
            held=self._held.labels(name),
            down=self._down.labels(name),
            unrecorded_s=self._unrecorded_s.labels(name),
        )
