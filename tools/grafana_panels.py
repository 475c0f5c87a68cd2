"""Rows and panels of Grafana's dashboard, with their expressions."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

Steps = Sequence[tuple[float | None, str]]

_GREEN: Steps = ((None, "green"),)
_NONE_IS_GOOD: Steps = ((None, "green"), (1, "red"))
_ONE_IS_GOOD: Steps = ((None, "red"), (1, "green"))
_HOURS_LEFT: Steps = ((None, "red"), (8 * 3600, "orange"), (24 * 3600, "green"))
_SHARE_LEFT: Steps = ((None, "red"), (0.2, "orange"), (0.4, "green"))

_CHANNELS = 'job=~"$job", channel=~"$channel"'
_SUBSCRIBERS = 'job=~"$job", subscriber=~"$subscriber"'
_JOBS = 'job=~"$job"'


class Kind(Enum):
    """Types of panels, by Grafana's names."""

    STAT = "stat"
    GRAPH = "timeseries"
    STATES = "state-timeline"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and the name of its series in the legend."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel: its `queries`, and how their values are shown.

    `unit` is one of Grafana's; `words` are shown in the place of 0, 1, …; and
    `steps` are the colours from a value on.
    """

    title: str
    says: str
    queries: Sequence[Query]
    kind: Kind = Kind.GRAPH
    unit: str = "short"
    width: int = 8
    words: Sequence[str] = ()
    steps: Steps = _GREEN


def _stat(title: str, says: str, expr: str, *, unit: str = "short", steps: Steps = _GREEN) -> Panel:
    query = Query(expr, title)
    return Panel(title=title, says=says, queries=[query], kind=Kind.STAT, unit=unit, width=4, steps=steps)


def _graph(title: str, says: str, *queries: tuple[str, str], unit: str = "short") -> Panel:
    return Panel(title=title, says=says, queries=[Query(*each) for each in queries], unit=unit)


def _states(title: str, says: str, query: tuple[str, str], words: Sequence[str], steps: Steps) -> Panel:
    queries = [Query(*query)]
    return Panel(title=title, says=says, queries=queries, kind=Kind.STATES, words=words, steps=steps)


def _rate(metric: str, labels: str, *by: str) -> str:
    return f"sum by ({', '.join(by)}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def _quantile(share: float, metric: str, labels: str, *by: str) -> str:
    return f"histogram_quantile({share}, {_rate(f'{metric}_bucket', labels, *by, 'le')})"


_OVERVIEW = (
    _stat(
        "Alerts",
        "Alerts of Streamer that fire. docs/alerts.md has what to do for each.",
        'count(ALERTS{alertname=~"Streamer.*", alertstate="firing"}) or vector(0)',
        steps=_NONE_IS_GOOD,
    ),
    _stat("Processes", "Processes that Prometheus can scrape.", f"sum(up{{{_JOBS}}})", steps=_ONE_IS_GOOD),
    _stat(
        "Channels that are not read",
        "Channels that no process reads at the moment.",
        f"count(sum by (job, channel) (streamer_channel_up{{{_CHANNELS}}} "
        f"or streamer_channel_owned{{{_CHANNELS}}}) == 0) or vector(0)",
        steps=_NONE_IS_GOOD,
    ),
    _stat(
        "Holes that stay, 24 h",
        "Nothing lost silently: holes in the stream that no repair has closed. `streamer continuity list` shows them.",
        f'sum(increase(streamer_continuity_unrepaired_total{{{_CHANNELS}, cause!="snapshot"}}[24h]))',
        steps=_NONE_IS_GOOD,
    ),
    _stat(
        "Dead letters, 24 h",
        "Events that were set aside. `streamer deadletters list` shows them.",
        f"sum(increase(streamer_dead_letters_total{{{_JOBS}}}[24h]))",
        steps=_NONE_IS_GOOD,
    ),
    _stat(
        "Until events are dropped",
        "Time until Salesforce drops events of the channel that is furthest behind: 72 hours, or 24, when nothing is.",
        f"min(streamer_checkpoint_expires_timestamp_seconds{{{_CHANNELS}}} - time())",
        unit="s",
        steps=_HOURS_LEFT,
    ),
    _graph(
        "Events in, deliveries out",
        "Events that enter the log, and deliveries that targets accept. An event can be for several subscribers.",
        (f"sum(rate(streamer_ingest_events_total{{{_CHANNELS}}}[$__rate_interval]))", "into the log"),
        (
            f'sum(rate(streamer_deliveries_total{{{_SUBSCRIBERS}, outcome="delivered"}}[$__rate_interval]))',
            "delivered",
        ),
        unit="ops",
    ),
    _graph(
        "From Salesforce to the log",
        "From the commit in Salesforce to the log, of the first event of each append.",
        (_quantile(0.5, "streamer_event_age_seconds", _CHANNELS), "p50"),
        (_quantile(0.99, "streamer_event_age_seconds", _CHANNELS), "p99"),
        unit="s",
    ),
    _graph(
        "From Salesforce to the target",
        "From the commit in Salesforce to the target's acceptance.",
        (_quantile(0.5, "streamer_event_to_target_seconds", _SUBSCRIBERS), "p50"),
        (_quantile(0.99, "streamer_event_to_target_seconds", _SUBSCRIBERS), "p99"),
        unit="s",
    ),
)

_INGEST = (
    _states(
        "Channels",
        "Whether the owner of each channel reads it.",
        (f"max by (channel) (streamer_channel_up{{{_CHANNELS}}})", "{{channel}}"),
        ("not read", "read"),
        _ONE_IS_GOOD,
    ),
    _graph(
        "Events by channel",
        "Events appended to the log.",
        (_rate("streamer_ingest_events_total", _CHANNELS, "channel"), "{{channel}}"),
        unit="ops",
    ),
    _graph(
        "Age of events by channel, p99",
        "From the commit in Salesforce to the log, of the first event of each append.",
        (_quantile(0.99, "streamer_event_age_seconds", _CHANNELS, "channel"), "{{channel}}"),
        unit="s",
    ),
    _graph(
        "Bytes from Salesforce",
        "Size of the answers that were read.",
        (f"sum(rate(streamer_ingest_bytes_total{{{_JOBS}}}[$__rate_interval]))", "read"),
        unit="Bps",
    ),
    _graph(
        "Sessions with Salesforce",
        "Sessions that were opened, answers that did not come in time, and sessions that were lost, by reason.",
        (f"sum(increase(streamer_session_handshakes_total{{{_JOBS}}}[$__rate_interval]))", "opened"),
        (f"sum(increase(streamer_session_overdue_total{{{_JOBS}}}[$__rate_interval]))", "overdue answers"),
        (
            f"sum by (reason) (increase(streamer_session_lost_total{{{_JOBS}}}[$__rate_interval]))",
            "lost: {{reason}}",
        ),
    ),
    _graph(
        "Subscriptions by Salesforce's answer",
        "A channel is subscribed again with each session.",
        (
            "sum by (channel, outcome) "
            f"(increase(streamer_session_subscriptions_total{{{_CHANNELS}}}[$__rate_interval]))",
            "{{channel}} {{outcome}}",
        ),
    ),
)

_LOG = (
    _states(
        "Log and login",
        "Whether a process waits for its log, or for Salesforce to accept its login.",
        (
            f'label_replace(streamer_log_unavailable{{{_JOBS}}}, "what", "log", "", "") '
            f'or label_replace(streamer_login_awaited{{{_JOBS}}}, "what", "login", "", "")',
            "{{instance}} {{what}}",
        ),
        ("in order", "waited for"),
        _NONE_IS_GOOD,
    ),
    _graph(
        "Time of an append",
        "Time that a batch waited to be durable in the log.",
        (_quantile(0.5, "streamer_append_seconds", _CHANNELS), "p50"),
        (_quantile(0.99, "streamer_append_seconds", _CHANNELS), "p99"),
        unit="s",
    ),
    _graph(
        "Batches",
        "Batches appended to the log. A quiet channel appends empty ones, which keep its position fresh.",
        (_rate("streamer_ingest_batches_total", _CHANNELS, "channel"), "{{channel}}"),
        unit="ops",
    ),
    _graph(
        "Deliveries that wait to be recorded",
        "Time for which finished deliveries have waited for the log. A restart repeats them.",
        (f"max by (subscriber) (streamer_unrecorded_seconds{{{_SUBSCRIBERS}}})", "{{subscriber}}"),
        unit="s",
    ),
    _graph(
        "Beats of the log's threads",
        "Time since the last beat of each thread; 0 while it rests.",
        (f"max by (instance, thread) (streamer_poll_age_seconds{{{_JOBS}}})", "{{instance}} {{thread}}"),
        unit="s",
    ),
    _graph(
        "Messages set aside before the log",
        "Messages that could not be read, or that the log does not take.",
        (
            f'sum by (reason) (increase(streamer_dead_letters_total{{{_JOBS}, stage="ingest"}}[$__rate_interval]))',
            "{{reason}}",
        ),
    ),
)

_DISPATCH = (
    _states(
        "Subscribers",
        "Held: an operator, the guard or the target has stopped deliveries. Down: the breaker is open.",
        (
            f"max by (subscriber) (streamer_subscriber_held{{{_SUBSCRIBERS}}}) "
            f"+ max by (subscriber) (streamer_breaker_open{{{_SUBSCRIBERS}}})",
            "{{subscriber}}",
        ),
        ("delivers", "held", "down"),
        ((None, "green"), (1, "orange"), (2, "red")),
    ),
    _graph(
        "Deliveries by outcome",
        "Attempts, and events that were skipped without one.",
        (_rate("streamer_deliveries_total", _SUBSCRIBERS, "subscriber", "outcome"), "{{subscriber}} {{outcome}}"),
        unit="ops",
    ),
    _graph(
        "Failed attempts by class of error",
        "Attempts after which the event was not delivered.",
        (_rate("streamer_failed_attempts_total", _SUBSCRIBERS, "subscriber", "error"), "{{subscriber}} {{error}}"),
        unit="ops",
    ),
    _graph(
        "Events that wait",
        "Events in the log that are not settled yet, over all processes.",
        (f"sum by (subscriber) (streamer_delivery_lag_events{{{_SUBSCRIBERS}}})", "{{subscriber}}"),
    ),
    _graph(
        "Parked events",
        "Events whose key waits behind one that keeps failing. `streamer parked list` shows the keys.",
        (f"sum by (subscriber) (streamer_parked_events{{{_SUBSCRIBERS}}})", "{{subscriber}}"),
    ),
    _graph(
        "Attempts in flight",
        "And the most that can be: the limit adapts to the target.",
        (f"sum by (subscriber) (streamer_delivery_in_flight{{{_SUBSCRIBERS}}})", "{{subscriber}}"),
        (f"sum by (subscriber) (streamer_delivery_limit{{{_SUBSCRIBERS}}})", "{{subscriber}} limit"),
    ),
)

_TARGETS = (
    _graph(
        "Duration of an attempt",
        "Of attempts that sent a request.",
        (_quantile(0.5, "streamer_delivery_seconds", _SUBSCRIBERS, "subscriber"), "{{subscriber}} p50"),
        (_quantile(0.99, "streamer_delivery_seconds", _SUBSCRIBERS, "subscriber"), "{{subscriber}} p99"),
        unit="s",
    ),
    _graph(
        "From Salesforce to the target by subscriber, p99",
        "From the commit in Salesforce to the target's acceptance.",
        (_quantile(0.99, "streamer_event_to_target_seconds", _SUBSCRIBERS, "subscriber"), "{{subscriber}}"),
        unit="s",
    ),
    _graph(
        "Dead letters",
        "Events that a target can't accept, by reason.",
        (
            "sum by (subscriber, reason) "
            f'(increase(streamer_dead_letters_total{{{_SUBSCRIBERS}, stage="dispatch"}}[$__rate_interval]))',
            "{{subscriber}} {{reason}}",
        ),
    ),
    _graph(
        "Look-ups of records",
        "For subscribers with `enrich`, by result.",
        (_rate("streamer_lookups_total", _JOBS, "result"), "{{result}}"),
        unit="ops",
    ),
    _graph(
        "Calls for look-ups",
        "Duration of a call, and the calls by result.",
        (_quantile(0.99, "streamer_lookup_seconds", _JOBS), "p99"),
        unit="s",
    ),
    _states(
        "Look-ups that wait",
        "For Salesforce, or for the org's daily requests.",
        (f"max by (instance) (streamer_lookups_waiting{{{_JOBS}}})", "{{instance}}"),
        ("go on", "wait"),
        _NONE_IS_GOOD,
    ),
)

_CONTINUITY = (
    _graph(
        "Holes",
        "Holes that were found, and snapshots that were asked for, by cause.",
        (
            f"sum by (channel, cause) (increase(streamer_continuity_records_total{{{_CHANNELS}}}[$__rate_interval]))",
            "{{channel}} {{cause}}",
        ),
    ),
    _graph(
        "Holes that stay",
        "Holes whose repair ended with events still missing, or that nothing repairs.",
        (
            "sum by (channel, cause) "
            f"(increase(streamer_continuity_unrepaired_total{{{_CHANNELS}}}[$__rate_interval]))",
            "{{channel}} {{cause}}",
        ),
    ),
    _graph(
        "Until events are dropped, by channel",
        "Time until Salesforce drops what was not read.",
        (
            f"min by (channel) (streamer_checkpoint_expires_timestamp_seconds{{{_CHANNELS}}} - time())",
            "{{channel}}",
        ),
        unit="s",
    ),
    Panel(
        title="Left of the org's limits",
        says="Shares. Below a fifth, replays, repairs, snapshots and look-ups wait.",
        queries=[
            Query(
                f"min by (limit) (streamer_org_limit_remaining{{{_JOBS}}} / (streamer_org_limit_max{{{_JOBS}}} > 0))",
                "{{limit}}",
            )
        ],
        unit="percentunit",
        steps=_SHARE_LEFT,
    ),
    _graph(
        "Delivered events that are left",
        "Of the day's allowance, which all clients of the org share.",
        (
            f'min by (job) (streamer_org_limit_remaining{{{_JOBS}, limit="DailyDeliveredPlatformEvents"}})',
            "{{job}}",
        ),
    ),
    _graph(
        "Until delivered events run out",
        "At the rate of the last hour. Nothing is shown without a forecast, or where they last for a day.",
        (f"max by (job) (streamer_org_limit_used_up_timestamp_seconds{{{_JOBS}}} - time())", "{{job}}"),
        unit="s",
    ),
    _graph(
        "Outbound messages",
        "Requests of Salesforce with outbound messages, by outcome.",
        (_rate("streamer_outbound_requests_total", _JOBS, "channel", "outcome"), "{{channel}} {{outcome}}"),
        unit="ops",
    ),
    _graph(
        "Large texts",
        "Large texts that came as a diff, by what became of them, and repeated outbound messages.",
        (_rate("streamer_large_text_diffs_total", _CHANNELS, "channel", "result"), "{{channel}} {{result}}"),
        unit="ops",
    ),
)

_PROCESS = (
    _graph(
        "Processor time",
        "One core is 1.",
        (f"rate(process_cpu_seconds_total{{{_JOBS}}}[$__rate_interval])", "{{instance}}"),
        unit="percentunit",
    ),
    _graph(
        "Memory",
        "Resident memory.",
        (f"process_resident_memory_bytes{{{_JOBS}}}", "{{instance}}"),
        unit="bytes",
    ),
    _graph("Open files", "And connections.", (f"process_open_fds{{{_JOBS}}}", "{{instance}}")),
    _graph(
        "Lag of the event loop, p99",
        "Delay of the event loop's timers.",
        (_quantile(0.99, "streamer_event_loop_lag_seconds", _JOBS, "instance"), "{{instance}}"),
        unit="s",
    ),
    _graph(
        "Blocks of the event loop",
        "Times it stood still for more than a second, by the subscriber whose plugin did it.",
        (
            "sum by (instance, subscriber) "
            f"(increase(streamer_event_loop_blocked_total{{{_JOBS}}}[$__rate_interval]))",
            "{{instance}} {{subscriber}}",
        ),
    ),
    _states(
        "Parts that are stuck",
        "A part has work, and does not move, for no known reason.",
        (f"max by (instance, kind) (streamer_stuck{{{_JOBS}}})", "{{instance}} {{kind}}"),
        ("move", "stuck"),
        _NONE_IS_GOOD,
    ),
    _states(
        "Configuration",
        "Refused: the files have a mistake, and the former configuration is in effect.",
        (
            f"(1 - streamer_configuration_applied{{{_JOBS}}}) * 2 "
            f"+ on (job, instance) streamer_configuration_restart_needed{{{_JOBS}}}",
            "{{instance}}",
        ),
        ("in effect", "waits for a restart", "refused", "refused"),
        ((None, "green"), (1, "orange"), (2, "red")),
    ),
    Panel(
        title="Versions",
        says="Of Streamer and of Python, and whether a process is a standby.",
        queries=[
            Query(
                f"streamer_build_info{{{_JOBS}}} * on (job, instance) group_left () "
                f"(1 + streamer_standby{{{_JOBS}}})",
                "{{instance}}",
            )
        ],
        kind=Kind.TABLE,
        width=16,
        words=("", "active", "standby"),
    ),
)

ROWS: Sequence[tuple[str, Sequence[Panel]]] = (
    ("Overview", _OVERVIEW),
    ("Salesforce", _INGEST),
    ("Log", _LOG),
    ("Dispatch", _DISPATCH),
    ("Targets", _TARGETS),
    ("Continuity and quota", _CONTINUITY),
    ("Processes", _PROCESS),
)
"""Titles of the rows, and their panels."""
